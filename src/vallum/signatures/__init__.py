"""What attacks on a database and on a browser look like: pure detectors, which checks and web ACLs both ask."""

from vallum.signatures.html import find_xss
from vallum.signatures.sql import find_sqli

__all__ = ["find_sqli", "find_xss"]
