"""Any provider as a Generator."""
