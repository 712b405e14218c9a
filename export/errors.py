"""What an export can fail with."""

from __future__ import annotations


class ExportError(RuntimeError):
    """An artefact could not be made, or is not fit to be published."""


class ParityError(ExportError):
    """An artefact does not give what Keras gives. The message lists every artefact that fails."""
