"""Training methods: each is collate and loss as one object (groundup.nn.protocols.Objective)."""
