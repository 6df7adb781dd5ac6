"""What must not be in an answer, one file a check."""
