"""Small networks on pictures and texts: what the `fit` stage needs to know of each, and how a saved one predicts."""
