"""Tensor parts: mixers, feed-forward networks, norms, positions, and the state that a sequence carries."""
