"""Exporters: a policy, as configuration of another gateway, and all that it cannot say there."""
