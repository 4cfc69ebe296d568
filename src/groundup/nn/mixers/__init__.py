"""Mixers, one file each: the parts of a block in which positions see each other."""
