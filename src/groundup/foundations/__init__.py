"""Chapters 0 and 1 in NumPy: what every later part stands on, written out to be read and each with a later caller."""
