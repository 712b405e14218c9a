"""The errors that an export or its verification raises."""

from __future__ import annotations


class ExportError(RuntimeError):
    """An artefact cannot be made, cannot be read or run, or is not fit to be published."""


class ParityError(ExportError):
    """An artefact does not give the outputs of Keras. The message lists every such artefact."""
