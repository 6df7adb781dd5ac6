"""The gateway's own authorisation server: short tokens for long-lived keys, and what others need to verify them."""
