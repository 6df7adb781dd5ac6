"""Policies that are written for an owner to read and go on from: after an API's own document, or after its traffic."""
