"""Types, protocols, errors, config, artifacts, tracking: what every package shares. Never imports torch."""
