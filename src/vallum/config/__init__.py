"""The config file: its structs, its strict reader, and its compiler into a policy."""
