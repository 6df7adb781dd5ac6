"""The reverse proxy: both legs on httptools and uvloop."""
