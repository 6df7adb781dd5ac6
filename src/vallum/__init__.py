"""Vallum: a gateway for people who own a model and sell its answers."""

__version__ = "0.1.0"
