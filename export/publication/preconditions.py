"""The conditions that must hold before an export does any work."""

from __future__ import annotations

from collections.abc import Sequence

from keras_s2s.translation.translator import Translator

FORMATS = ("serving", "onnx", "triton")


def check_formats(formats: Sequence[str]) -> None:
    """Checks the formats of an export.

    Args:
        formats: names of formats.

    Raises:
        ValueError: If there is no format, an unknown one, or 'triton' without 'onnx'.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if isinstance(formats, str) or unknown or not formats:
        raise ValueError(
            f"`formats` must be one or more of {', '.join(map(repr, FORMATS))}; got {formats!r}."
        )
    if "triton" in formats and "onnx" not in formats:
        raise ValueError(
            "The format 'triton' holds the ONNX model: add 'onnx' to the formats; got "
            f"{list(formats)}."
        )


def check_settings(translator: Translator) -> None:
    """Checks that an exported graph can do everything that the translator does.

    Args:
        translator: the translator to export.

    Raises:
        ValueError: If the translator's search draws at random, or if the translator replaces
            unknown words or chooses among hypotheses.
    """
    if translator.search.needs_noise:
        raise ValueError(
            "`translator.search` must not draw its outputs at random, because such a graph cannot "
            f"be proven equal to Keras; it is {type(translator.search).__name__}. Set it to a "
            "GreedySearch or a BeamSearch to export."
        )
    for name in ("unknown_replacement", "choice"):
        if getattr(translator, name) is not None:
            raise ValueError(
                f"`translator.{name}` is not part of exported graphs, so they would give other "
                f"texts than the translator; it is {type(getattr(translator, name)).__name__}. Set "
                "it to None to export."
            )
