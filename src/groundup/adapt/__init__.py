"""Model to model: adapters, and later quantisation, pruning, merging."""
