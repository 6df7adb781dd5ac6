"""The registry: credentials in an SQL database, known ones kept in memory."""

from vallum.stores.registry.keyring import Keyring, RotationError, Selection
from vallum.stores.registry.registry import SqlRegistry

__all__ = ["Keyring", "RotationError", "Selection", "SqlRegistry"]
