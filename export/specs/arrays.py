"""Batches of arrays as graphs take and give them, and texts as bytes or as valid UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]
Encode = Callable[[Sequence[str]], np.ndarray]


def as_bytes(texts: Sequence[str]) -> np.ndarray:
    """Returns texts as the bytes that a server receives.

    Bytes that Python escaped because they are no valid UTF-8 become the original bytes again.

    Args:
        texts: texts, in which invalid bytes are surrogate escapes.

    Returns:
        An array of `bytes` objects of shape `(len(texts),)`.
    """
    array = np.empty(len(texts), object)
    array[:] = [text.encode("utf-8", "surrogateescape") for text in texts]
    return array


def as_valid(texts: Sequence[str]) -> np.ndarray:
    """Returns texts for ONNX Runtime, which takes nothing but valid UTF-8.

    Invalid bytes become the replacement character U+FFFD.

    Args:
        texts: texts, in which invalid bytes are surrogate escapes.

    Returns:
        An array of `str` objects of shape `(len(texts),)`.
    """
    array = np.empty(len(texts), object)
    array[:] = [text.decode("utf-8", "replace") for text in as_bytes(texts)]
    return array
