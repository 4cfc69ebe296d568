"""Pure functions over text that every later package may use: decoding, normal forms, measures. No torch, no files."""
