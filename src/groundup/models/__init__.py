"""Assembled networks, and the model directory: Hugging Face's files in, Hugging Face's files out."""
