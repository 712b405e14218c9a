"""What must hold before an export does any work."""

from __future__ import annotations

from collections.abc import Sequence

from keras_s2s.translation.translator import Translator

FORMATS = ("serving", "onnx", "triton")


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
