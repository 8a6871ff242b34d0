"""Loading models so that every parameter is from the checkpoint."""
