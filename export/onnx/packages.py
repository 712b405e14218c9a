"""Checks that a translator can become ONNX: the packages it needs, and the model's precision."""

from __future__ import annotations

import importlib.util

from keras_s2s.text import SentencePieceTokenizer
from keras_s2s.translation.translator import Translator


def needs_extensions(translator: Translator) -> bool:
    """Returns whether a translator's text-to-text ONNX model needs onnxruntime-extensions."""
    tokenizers = (translator.source_tokenizer, translator.target_tokenizer)
    return any(isinstance(tokenizer, SentencePieceTokenizer) for tokenizer in tokenizers)


def check_packages(otherwise: str, *, extensions: bool = True) -> None:
    """Checks that the packages for an ONNX export are installed.

    Args:
        otherwise: an alternative to installing them, which ends the error message.
        extensions: whether onnxruntime-extensions is among them; a SentencePiece tokenizer needs
            it.

    Raises:
        ImportError: If a package is missing; the message names all that are.
    """
    needed = ["onnx", "tf2onnx", "onnxruntime", *["onnxruntime_extensions"] * extensions]
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"An ONNX export needs {', '.join(missing)}, which cannot be found. Install with "
            f"pip install 'keras-s2s[onnx]', or {otherwise}."
        )


def check_onnx(translator: Translator) -> None:
    """Checks that a translator can become ONNX.

    Raises:
        ImportError: If a package for it is missing.
        ValueError: If the model computes in another precision than float32.
    """
    check_packages("leave 'onnx' out of the formats", extensions=needs_extensions(translator))
    dtypes = translator.model.compute_dtypes
    if dtypes != {"float32"}:
        raise ValueError(
            f"A model must compute in float32 to become ONNX; got {', '.join(sorted(dtypes))}. "
            "Export `translator.copy(mixed=False)`."
        )
