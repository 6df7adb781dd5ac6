"""How documents are read and written: one media type a file."""
