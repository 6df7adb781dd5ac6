"""The registry: credentials in an SQL database, known ones kept in memory."""

from vallum.stores.registry.ledger import Ledger, RotationError, Selection
from vallum.stores.registry.registry import SqlRegistry

__all__ = ["Ledger", "RotationError", "Selection", "SqlRegistry"]
