"""Where state lives: counters, credentials, records.  Written once, async."""
