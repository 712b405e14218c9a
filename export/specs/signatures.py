"""The four signatures of an exported SavedModel: their names, dtypes and axes, declared once.

The first axis of every output is the batch, so that TensorFlow Serving can merge and split
requests. Numbers are int32 or float32 and finite, so that JSON can carry them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keras_s2s.export.specs.spec import GraphSpec, IdsSpec, TextSpec, ids_spec, text_spec
from keras_s2s.export.specs.value import Axis, Value
from keras_s2s.search import BeamSearch, Search
from keras_s2s.system.checks import check_optional_size
from keras_s2s.text import Tokenizer
from keras_s2s.translation.translator import Translator

TEXT = "serving_default"  # the signature of a request that names none
BEAM = "beam"
IDS = "ids"
ALIGNMENTS = "alignments"

WIDTH = 5  # beam width for a translator whose own search has no beam

# The score of a missing hypothesis. REST would write minus infinity as a bare word, which no JSON
# parser accepts.
LOWEST = float(np.finfo(np.float32).min)
SCORES = (
    "Scores that rank the hypotheses: log-probabilities under the length penalty; the lowest "
    "float32 for a missing hypothesis."
)


def beam_search(search: Search, width: int | None) -> Search:
    """Returns the search of the signature `beam`, which returns all its hypotheses.

    Args:
        search: the translator's own search, whose settings are kept.
        width: number of hypotheses per sentence. None keeps the width of a beam search, and gives
            any other search the width `WIDTH`.
    """
    if width is None:
        width = search.width if isinstance(search, BeamSearch) else WIDTH
    return search.like(width=width, n_best=width)


def checked_beam(translator: Translator, width: int | None) -> Search:
    """Returns the search of the signature `beam` after checking its width.

    Args:
        translator: the translator to export.
        width: number of hypotheses per sentence, or None; see `beam_search`.

    Raises:
        ValueError: If `width` is no positive integer, or exceeds the number of target ids.
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
    """Returns the declaration of every signature, by name.

    Args:
        translator: the translator whose tokenizer and search the signatures use.
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
    """Returns the declaration of `tracing.ids_function` for a translator and a search.

    Args:
        translator: the translator to export.
        name: name of the graph.
        search: the search inside the graph.
        dtype: dtype of ids and lengths.
    """
    return ids_spec(
        name,
        translator.source_tokenizer,
        n_best=search.n_best,
        max_length=search.max_length,
        dtype=dtype,
    )


def spec_of_text(translator: Translator) -> TextSpec:
    """Returns the declaration of a graph from text to text for a translator."""
    return text_spec("text", translator.source_tokenizer)


def spec_of_served_ids(translator: Translator) -> IdsSpec:
    """Returns the declaration of the signature `ids`.

    It differs from the ONNX models from ids to ids in two ways: ids and lengths are int32, and
    scores are finite.
    """
    spec = spec_of_ids(translator, IDS, translator.search, dtype="int32")
    *others, scores = spec.outputs
    return replace(spec, outputs=(*others, replace(scores, meaning=SCORES)))


def beam_spec(tokenizer: Tokenizer, *, n_best: int) -> TextSpec:
    """Declares the signature `beam`: from text to its `n_best` translations, best first.

    Args:
        tokenizer: the source tokenizer.
        n_best: number of hypotheses per sentence.

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
                "Ids per hypothesis, the end id counted; 0 for a missing hypothesis.",
            ),
        ),
        tokenizer=tokenizer,
    )


def alignments_spec(tokenizer: Tokenizer, *, max_length: int) -> TextSpec:
    """Declares the signature `alignments`: from text to its translation and attention weights.

    Args:
        tokenizer: the source tokenizer.
        max_length: longest target in ids, the end id counted.
    """
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
                "Target tokens as text, the end token last, then empty strings.",
            ),
            Value(
                "weights",
                "float32",
                (batch, target, source),
                "Attention weight of each target token on each source token; zero in padding.",
            ),
            Value(
                "source_tokens",
                "string",
                (batch, source),
                "Source tokens as text, the end token last, then empty strings.",
            ),
        ),
        tokenizer=tokenizer,
    )
