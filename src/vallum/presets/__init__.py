"""How one API's format speaks of amounts: one file a family of formats, tables first.

Add a format: a `Format` in a file of its own, hung up by the preset's name in `METERS` (config/compile.py).
"""
