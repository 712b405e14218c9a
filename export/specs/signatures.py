"""The signatures of an exported SavedModel: names, dtypes and axes of each, declared once.

Every output has the batch first and at least one axis, so that TensorFlow Serving can merge and
split requests; numbers are int32 or float32 and finite, so that JSON can carry them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keras_s2s.export.specs.spec import (
    Axis,
    GraphSpec,
    IdsSpec,
    TextSpec,
    Value,
    ids_spec,
    text_spec,
)
from keras_s2s.search import BeamSearch, Search
from keras_s2s.system.checks import check_optional_size
from keras_s2s.text import Tokenizer
from keras_s2s.translation.translator import Translator

TEXT = "serving_default"  # the name that servers look for when a request names none
BEAM = "beam"
IDS = "ids"
ALIGNMENTS = "alignments"

WIDTH = 5  # of the beam, for a translator whose own search has none

# The score where there is no hypothesis. REST would write minus infinity as a bare word that no
# JSON parser takes.
LOWEST = float(np.finfo(np.float32).min)
SCORES = (
    "What hypotheses are ranked by: log-probability under the length penalty; the lowest float32 "
    "where there is no such hypothesis."
)


def beam_search(search: Search, width: int | None) -> Search:
    """The search of the signature `beam`, which gives all its hypotheses.

    Args:
        search: the translator's own; its settings are kept.
        width: hypotheses per sentence; None for the own width of a beam search, and `WIDTH` for
            any other.
    """
    if width is None:
        width = search.width if isinstance(search, BeamSearch) else WIDTH
    return search.like(width=width, n_best=width)


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


def signature_specs(translator: Translator, beam: Search) -> dict[str, GraphSpec]:
    """The declaration of every signature, by name.

    Args:
        translator: whose tokenizers and search they are for.
        beam: the search of the signature `beam`.
    """
    tokenizer = translator.source_tokenizer
    return {
        TEXT: text_spec(TEXT, tokenizer),
        BEAM: beam_spec(tokenizer, n_best=beam.n_best),
        IDS: spec_of_served_ids(translator),
        ALIGNMENTS: alignments_spec(tokenizer, max_length=translator.search.max_length),
    }


def spec_of_ids(translator: Translator, name: str, search: Search, dtype: str = "int64") -> IdsSpec:
    """The declaration of `ids_function` for a translator and a search."""
    return ids_spec(
        name,
        translator.source_tokenizer,
        n_best=search.n_best,
        max_length=search.max_length,
        dtype=dtype,
    )


def spec_of_text(translator: Translator) -> TextSpec:
    """The declaration of a graph from text to text for a translator."""
    return text_spec("text", translator.source_tokenizer)


def spec_of_served_ids(translator: Translator) -> IdsSpec:
    """The declaration of `ids`: as that of the ONNX models, in int32 and with finite scores."""
    spec = spec_of_ids(translator, IDS, translator.search, dtype="int32")
    *others, scores = spec.outputs
    return replace(spec, outputs=(*others, replace(scores, meaning=SCORES)))


def beam_spec(tokenizer: Tokenizer, *, n_best: int) -> TextSpec:
    """Declares `beam`: text to its `n_best` translations, best first.

    Example:
        >>> from keras_s2s import CharTokenizer
        >>> print(beam_spec(CharTokenizer(["a"]), n_best=5).table().splitlines()[3])
        | `translations` | out | string | [batch, n_best=5] | Target texts, best first. |
    """
    batch, hypotheses = Axis("batch"), Axis("n_best", n_best)
    return TextSpec(
        name=BEAM,
        meaning="Source text to several target texts, best first.",
        inputs=(Value("text", "string", (batch,), "Source texts, UTF-8."),),
        outputs=(
            Value("translations", "string", (batch, hypotheses), "Target texts, best first."),
            Value("scores", "float32", (batch, hypotheses), SCORES),
            Value(
                "lengths",
                "int32",
                (batch, hypotheses),
                "Ids per hypothesis, the end id counted; 0 where there is no such hypothesis.",
            ),
        ),
        tokenizer=tokenizer,
    )


def alignments_spec(tokenizer: Tokenizer, *, max_length: int) -> TextSpec:
    """Declares `alignments`: text to its translation and what each target token looked at."""
    batch, source = Axis("batch"), Axis("source_length")
    target = Axis("target_length", max_length)
    return TextSpec(
        name=ALIGNMENTS,
        meaning="Source text to the best target text and the attention between their tokens.",
        inputs=(Value("text", "string", (batch,), "Source texts, UTF-8."),),
        outputs=(
            Value("translation", "string", (batch,), "Target texts, UTF-8."),
            Value(
                "tokens",
                "string",
                (batch, target),
                "Target tokens as they read, the end token last, then empty strings.",
            ),
            Value(
                "weights",
                "float32",
                (batch, target, source),
                "How much each target token looked at each source token; zero behind both ends.",
            ),
            Value(
                "source_tokens",
                "string",
                (batch, source),
                "Source tokens as they read, the end token last, then empty strings.",
            ),
        ),
        tokenizer=tokenizer,
    )
