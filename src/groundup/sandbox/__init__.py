"""Runs programs nobody has read."""
