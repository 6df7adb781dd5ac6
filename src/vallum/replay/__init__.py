"""Recorded exchanges through a whole policy, on a virtual clock: what it would have done, and to whom."""
