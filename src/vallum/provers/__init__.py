"""Who holds a key: one way to prove it a file.  They know the core's protocols and not each other."""
