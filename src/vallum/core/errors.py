"""The shallow tree of errors.  Refusals are not errors: see decision.py."""

from __future__ import annotations


class VallumError(Exception):
    """Root of what this package raises on purpose."""


class DependencyError(VallumError):
    """A store or a service that the gateway needs could not be reached."""


class StoreSilentError(DependencyError):
    """A store is there and does not answer: whoever asks again waits again."""


class PhaseError(VallumError):
    """An adapter called the phases of an exchange out of order: a bug in the adapter."""


class UpstreamError(VallumError):
    """The upstream could not be reached, broke the protocol, or ended early."""


class UpstreamTimeoutError(UpstreamError):
    """The upstream was silent for too long."""
