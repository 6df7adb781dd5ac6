"""The core: facts in, a decision out.  No sockets, clock, randomness, logging or files; the standard library alone."""
