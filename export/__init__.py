"""Exports trained translators: SavedModels and ONNX models, each verified against Keras."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_s2s.export.comparison import ParityReport as ParityReport
    from keras_s2s.export.errors import ExportError as ExportError
    from keras_s2s.export.errors import ParityError as ParityError
    from keras_s2s.export.publication import ExportReport as ExportReport
    from keras_s2s.export.publication import export_translator as export_translator
    from keras_s2s.export.spec import GraphSpec as GraphSpec
    from keras_s2s.export.verification import verify_export as verify_export

# Each public name and its module, imported on first use: ONNX parts need packages that others do
# without.
_HOMES = {
    "ExportError": "errors",
    "ExportReport": "publication",
    "GraphSpec": "spec",
    "ParityError": "errors",
    "ParityReport": "comparison",
    "export_translator": "publication",
    "verify_export": "verification",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_s2s.export' has no attribute {name!r}")
    return getattr(importlib.import_module(f"keras_s2s.export.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
