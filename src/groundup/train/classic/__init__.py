"""Models of chapter 0 trained, compared and kept: tables and texts without a neural network. Nothing here imports torch."""
