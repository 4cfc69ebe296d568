"""Kinds of generated problem, one file each. Every kind is a frozen config with `make(rng, difficulty)` (see `kind.py`)."""
