"""One file per view; each has `add(studio)`, which declares its pages."""
