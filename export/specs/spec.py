"""Declarations of exported graphs that also draw random inputs: from ids to ids, from text to text.

TensorFlow signatures, the inputs and outputs of ONNX files, the checks of the arrays that a runtime
returns, the inputs of the parity run and the table in the documentation all derive from a
`GraphSpec`. A `GraphSpec` does not know how its graph computes.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_s2s.export.specs.declaration import Declaration
from keras_s2s.export.specs.value import Axis, Value
from keras_s2s.text import Tokenizer


@dataclass(frozen=True)
class GraphSpec(Declaration, abc.ABC):
    """A declaration that can draw random inputs for its graph. Use a subclass.

    Attributes:
        tokenizer: the source tokenizer, from whose vocabulary random inputs are drawn; None in a
            declaration that was read from a file.
    """

    tokenizer: Tokenizer | None

    @abc.abstractmethod
    def sample(self, batch: int, source_length: int, seed: int) -> dict[str, np.ndarray]:
        """Returns random inputs.

        Args:
            batch: number of sentences; it may be 0.
            source_length: length of the longest sentence in ids, the end id counted.
            seed: seed of the random numbers; the same seed gives the same inputs.

        Returns:
            One array per input. A batch of two or more sentences, of two or more ids, has at least
            one padded row.

        Raises:
            ValueError: If `source_length` is below 1.
        """

    def to_json(self) -> dict[str, Any]:
        """Returns the declaration without its tokenizer, as JSON types."""
        return {
            "kind": type(self).__name__,
            "name": self.name,
            "meaning": self.meaning,
            "inputs": [value.to_json() for value in self.inputs],
            "outputs": [value.to_json() for value in self.outputs],
        }

    @property
    def source_tokenizer(self) -> Tokenizer:
        """The source tokenizer.

        Raises:
            ValueError: If the declaration was read from a file and therefore has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(
                f"The declaration of {self.name!r} was read from a file and has no tokenizer to "
                "draw from. Declare the graph with a tokenizer."
            )
        return self.tokenizer

    def _rows(self, batch: int, longest: int, seed: int) -> list[list[int]]:
        """Returns random sentences as ids, the end id last; the first has `longest` ids."""
        if longest < 1:
            raise ValueError(f"`source_length` must be at least 1, for the end id; got {longest}.")
        draw = np.random.default_rng(seed)
        first_token, end = self.source_tokenizer.end_id + 1, self.source_tokenizer.end_id
        lengths = draw.integers(1, longest, endpoint=True, size=batch)
        lengths[:1], lengths[1:2] = longest, max(1, longest - 1)
        size = self.source_tokenizer.vocabulary_size
        return [[*draw.integers(first_token, size, size=n - 1).tolist(), end] for n in lengths]


class IdsSpec(GraphSpec):
    """The declaration of a graph from source ids to target ids. Make one with `ids_spec`."""

    @property
    def dtype(self) -> str:
        """The name of the dtype of all ids and lengths."""
        return self.inputs[0].dtype

    def sample(self, batch: int, source_length: int, seed: int) -> dict[str, np.ndarray]:
        """Returns random inputs; random ids, not padding, fill each row behind its end."""
        rows = self._rows(batch, source_length, seed)
        dtype = np.dtype(self.dtype)
        lengths = np.array([len(row) for row in rows], dtype)
        draw = np.random.default_rng(seed + 1)
        first_token, size = self.source_tokenizer.end_id + 1, self.source_tokenizer.vocabulary_size
        ids = draw.integers(first_token, size, size=(batch, source_length)).astype(dtype)
        for row, target in zip(rows, ids, strict=True):
            target[: len(row)] = row
        return {"input_ids": ids, "input_lengths": lengths}


class TextSpec(GraphSpec):
    """The declaration of a graph from text to text. Make one with `text_spec`."""

    def sample(self, batch: int, source_length: int, seed: int) -> dict[str, np.ndarray]:
        """Returns random texts; `source_length` counts the ids that the longest is decoded from."""
        rows = self._rows(batch, source_length, seed)
        texts = np.empty(batch, object)
        texts[:] = self.source_tokenizer.decode(rows)
        return {"text": texts}


def ids_spec(
    name: str,
    tokenizer: Tokenizer,
    *,
    n_best: int,
    max_length: int,
    dtype: str = "int64",
) -> IdsSpec:
    """Declares a graph from source ids to the ids of `n_best` hypotheses.

    The n-best axis is always present and has length 1 for greedy search, so one program can call
    any such graph. The target axis always has the length `max_length`, so a sentence's result does
    not depend on its batch mates.

    Args:
        name: name of the graph.
        tokenizer: the source tokenizer.
        n_best: number of hypotheses per sentence.
        max_length: longest target in ids, the end id counted.
        dtype: dtype of ids and lengths: 'int64' as users of ONNX expect, or 'int32' as users of
            TensorFlow expect.

    Example:
        >>> from keras_s2s import CharTokenizer
        >>> spec = ids_spec("greedy", CharTokenizer(["a", "b"]), n_best=1, max_length=9)
        >>> [value.name for value in spec.outputs]
        ['output_ids', 'output_lengths', 'scores']
        >>> spec.sample(batch=2, source_length=3, seed=0)["input_lengths"].tolist()
        [3, 2]
    """
    batch, source = Axis("batch"), Axis("source_length")
    hypotheses, target = Axis("n_best", n_best), Axis("target_length", max_length)
    return IdsSpec(
        name=name,
        meaning="Source ids to target ids, best hypothesis first.",
        inputs=(
            Value(
                "input_ids",
                dtype,
                (batch, source),
                "Source ids, the end id last; ids behind a row's length are not read.",
            ),
            Value("input_lengths", dtype, (batch,), "Ids per row, the end id counted."),
        ),
        outputs=(
            Value(
                "output_ids",
                dtype,
                (batch, hypotheses, target),
                "Target ids, best first, the end id last, then padding.",
            ),
            Value(
                "output_lengths",
                dtype,
                (batch, hypotheses),
                "Ids per hypothesis, the end id counted; 0 for a missing hypothesis.",
            ),
            Value(
                "scores",
                "float32",
                (batch, hypotheses),
                "Scores that rank the hypotheses: log-probabilities under the length penalty; "
                "minus infinity for a missing hypothesis.",
            ),
        ),
        tokenizer=tokenizer,
    )


def text_spec(name: str, tokenizer: Tokenizer) -> TextSpec:
    """Declares a graph from source text to the best target text.

    Args:
        name: name of the graph.
        tokenizer: the source tokenizer.

    Example:
        >>> from keras_s2s import CharTokenizer
        >>> print(text_spec("model", CharTokenizer(["a", "b"])).table().splitlines()[2])
        | `text` | in | string | [batch] | Source texts, UTF-8. |
    """
    batch = Axis("batch")
    return TextSpec(
        name=name,
        meaning="Source text to the best target text.",
        inputs=(Value("text", "string", (batch,), "Source texts, UTF-8."),),
        outputs=(Value("translation", "string", (batch,), "Target texts, UTF-8."),),
        tokenizer=tokenizer,
    )


def spec_from_json(fields: Mapping[str, Any]) -> GraphSpec:
    """Returns the declaration that `GraphSpec.to_json` described, without a tokenizer."""
    kinds: dict[str, type[GraphSpec]] = {kind.__name__: kind for kind in (IdsSpec, TextSpec)}
    return kinds[fields["kind"]](
        name=fields["name"],
        meaning=fields["meaning"],
        inputs=tuple(Value.from_json(value) for value in fields["inputs"]),
        outputs=tuple(Value.from_json(value) for value in fields["outputs"]),
        tokenizer=None,
    )
