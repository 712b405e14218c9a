"""The packages that an ONNX export and its models need, and what a model must be to become ONNX."""

from __future__ import annotations

import importlib.util

from keras_s2s.text import SentencePieceTokenizer
from keras_s2s.translation.translator import Translator


def needs_extensions(translator: Translator) -> bool:
    """Whether its text-to-text ONNX model needs onnxruntime-extensions."""
    tokenizers = (translator.source_tokenizer, translator.target_tokenizer)
    return any(isinstance(tokenizer, SentencePieceTokenizer) for tokenizer in tokenizers)


def check_packages(otherwise: str, *, extensions: bool = True) -> None:
    """Raises ImportError where packages of ONNX exports are missing.

    Args:
        otherwise: what else one can do.
        extensions: whether a text-to-text model is made of a SentencePiece model.
    """
    needed = ["onnx", "tf2onnx", "onnxruntime", *["onnxruntime_extensions"] * extensions]
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(
            f"An ONNX export needs {', '.join(missing)}, which cannot be found. Install with "
            f"pip install 'keras-s2s[onnx]', or {otherwise}."
        )


def check_onnx(translator: Translator) -> None:
    """Raises ImportError or ValueError where a translator cannot become ONNX."""
    check_packages("leave 'onnx' out of the formats", extensions=needs_extensions(translator))
    dtypes = translator.model.compute_dtypes
    if dtypes != {"float32"}:
        raise ValueError(
            f"A model must compute in float32 to become ONNX; got {', '.join(sorted(dtypes))}. "
            "Export `translator.copy(mixed=False)`."
        )
