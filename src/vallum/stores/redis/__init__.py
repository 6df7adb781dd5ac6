"""Counters that several nodes share, in Redis or Valkey."""
