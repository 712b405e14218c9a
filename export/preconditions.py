"""What must hold before an export does any work."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from keras_s2s.export.signatures import beam_search
from keras_s2s.search import Search
from keras_s2s.system.checks import check_optional_size
from keras_s2s.text import SentencePieceTokenizer
from keras_s2s.translator import Translator

FORMATS = ("serving", "onnx", "triton")


def needs_extensions(translator: Translator) -> bool:
    """Whether its text-to-text ONNX model needs onnxruntime-extensions."""
    tokenizers = (translator.source_tokenizer, translator.target_tokenizer)
    return any(isinstance(tokenizer, SentencePieceTokenizer) for tokenizer in tokenizers)


def checked_beam(translator: Translator, width: int | None) -> Search:
    """The search of the signature `beam`.

    Raises:
        ValueError: If there is none of that width.
    """
    check_optional_size("beam", width)
    size = translator.target_tokenizer.vocabulary_size
    search = beam_search(translator.search, width)
    if search.width > size:
        raise ValueError(
            f"`beam` must be at most the number of target ids, {size}; got {search.width}."
        )
    return search


def check_formats(formats: Sequence[str]) -> None:
    """Raises ValueError for formats that there are not, or not without another."""
    unknown = [name for name in formats if name not in FORMATS]
    if isinstance(formats, str) or unknown or not formats:
        raise ValueError(
            f"`formats` must be one or more of {', '.join(map(repr, FORMATS))}; got {formats!r}."
        )
    if "triton" in formats and "onnx" not in formats:
        raise ValueError("The format 'triton' holds the ONNX model: add 'onnx' to the formats.")


def check_settings(translator: Translator) -> None:
    """Raises ValueError for settings that exported graphs do not have."""
    if translator.search.needs_noise:
        raise ValueError(
            "`translator.search` draws its outputs, and an exported graph that draws cannot be "
            f"proven equal to Keras; it is {type(translator.search).__name__}. Set it to a "
            "GreedySearch or a BeamSearch to export."
        )
    for name in ("unknown_replacement", "choice"):
        if getattr(translator, name) is not None:
            raise ValueError(
                f"`translator.{name}` is not part of exported graphs, which would give other texts "
                f"than the translator; it is {type(getattr(translator, name)).__name__}. Set it to "
                "None to export."
            )


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
