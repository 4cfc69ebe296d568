"""Training: the one loop, optimizers, schedules, checkpoints, stability, and settings chosen by measurement."""
