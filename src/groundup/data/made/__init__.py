"""Data made by a machine from a known structure, so that every recipe runs from a fresh clone and its answer can be checked."""
