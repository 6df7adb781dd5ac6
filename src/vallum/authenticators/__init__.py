"""Who is calling: one authenticator a file.  They know the core's protocols and not each other."""
