"""Text in: documents kept for training and validation, and everything dropped with its reason."""
