"""What may come in: one check a file.  They know the core's protocols and not each other."""
