"""Batches of arrays as graphs take and give them, and texts as bytes or as valid UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]
Encode = Callable[[Sequence[str]], np.ndarray]


def as_bytes(texts: Sequence[str]) -> np.ndarray:
    """Texts as the bytes a server receives: what Python escaped becomes invalid UTF-8 again."""
    array = np.empty(len(texts), object)
    array[:] = [text.encode("utf-8", "surrogateescape") for text in texts]
    return array


def as_valid(texts: Sequence[str]) -> np.ndarray:
    """Texts for ONNX Runtime, which takes valid UTF-8 alone: what is invalid becomes U+FFFD."""
    array = np.empty(len(texts), object)
    array[:] = [text.decode("utf-8", "replace") for text in as_bytes(texts)]
    return array
