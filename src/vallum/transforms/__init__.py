"""What may go out: one transform a file.  They know the core's protocols and not each other."""
