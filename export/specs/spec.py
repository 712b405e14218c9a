"""The one declaration of an exported graph: names, dtypes, axes of inputs and outputs; samples.

TensorFlow signatures, the inputs and outputs of ONNX files, the checks of what a runtime returns,
the inputs of the parity run and the table in the documentation all derive from a `GraphSpec`. Knows
nothing of how a graph computes.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.text import Tokenizer

if TYPE_CHECKING:
    import tensorflow as tf

DTYPES: dict[str, type[np.generic]] = {
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
    "float32": np.float32,
    "string": np.object_,
}


@dataclass(frozen=True)
class Axis:
    """An axis of a value.

    Attributes:
        name: what is counted along it; axes of one name have one length in a call.
        size: its length when every call has the same; None when it differs from call to call.
    """

    name: str
    size: int | None = None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}={self.size}"


@dataclass(frozen=True)
class Value:
    """An input or an output of a graph.

    Attributes:
        name: its name in every format.
        dtype: one of `DTYPES`.
        axes: its axes, the batch first.
        meaning: one sentence for the file and the documentation.
        default: of an input that may be left out, what holds then; None where it may not.
    """

    name: str
    dtype: str
    axes: tuple[Axis, ...]
    meaning: str
    default: int | float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(
                f"`dtype` must be one of {', '.join(map(repr, DTYPES))}; got dtype={self.dtype!r}."
            )
        # TensorFlow Serving would wrap such an output in base64.
        if self.name.endswith("_bytes"):
            raise ValueError(f"`name` must not end in '_bytes'; got name={self.name!r}.")

    def tensor_spec(self) -> tf.TensorSpec:
        """The value in a TensorFlow signature."""
        import tensorflow as tf

        shape = [axis.size for axis in self.axes]
        return tf.TensorSpec(shape, tf.dtypes.as_dtype(self.dtype), name=self.name)

    def to_json(self) -> dict[str, Any]:
        """The value as JSON types."""
        axes = [[axis.name, axis.size] for axis in self.axes]
        found = {"name": self.name, "dtype": self.dtype, "axes": axes, "meaning": self.meaning}
        return found if self.default is None else {**found, "default": self.default}

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Value:
        """The value that `to_json` described."""
        axes = tuple(Axis(name, size) for name, size in found["axes"])
        default = found.get("default")
        return Value(found["name"], found["dtype"], axes, found["meaning"], default)

    def objection(self, array: Any, sizes: dict[str, int]) -> str | None:
        """What is wrong with an array as this value; None when nothing is.

        Args:
            array: what was fed or returned.
            sizes: lengths of named axes so far in this call; those met for the first time are
                added.
        """
        array = np.asarray(array)
        strings = self.dtype == "string" and array.dtype.kind in "SUO"
        if not strings and array.dtype != DTYPES[self.dtype]:
            return f"{self.name} must be {self.dtype}; got {array.dtype}"
        wanted = [
            axis.size if axis.size is not None else sizes.get(axis.name, length)
            for axis, length in zip(self.axes, array.shape, strict=False)
        ]
        if array.ndim != len(self.axes) or list(array.shape) != wanted:
            axes = ", ".join(map(str, self.axes))
            known = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "any sizes"
            return f"{self.name} must have the shape [{axes}] with {known}; got {array.shape}"
        sizes.update((axis.name, n) for axis, n in zip(self.axes, array.shape, strict=True))
        return None


@dataclass(frozen=True)
class Declaration:
    """Inputs and outputs of an exported graph.

    Attributes:
        name: name of the graph.
        meaning: one sentence for the file and the documentation.
        inputs: what goes in, in order.
        outputs: what comes out, in order.
    """

    name: str
    meaning: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    def signature(self) -> list[tf.TensorSpec]:
        """The inputs as a TensorFlow signature; those that may be left out are no part of it."""
        return [value.tensor_spec() for value in self.inputs if value.default is None]

    def objections(
        self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
    ) -> list[str]:
        """Everything in which one call departs from the declaration: names, dtypes, shapes."""
        found, sizes = [], dict[str, int]()
        for values, arrays in ((self.inputs, inputs), (self.outputs, outputs)):
            names = [value.name for value in values]
            needed = {value.name for value in values if value.default is None}
            if not needed <= set(arrays) <= set(names):
                found.append(f"{self.name} has {names}; got {sorted(arrays)}")
                continue
            present = [value for value in values if value.name in arrays]
            objections = (value.objection(arrays[value.name], sizes) for value in present)
            found += [objection for objection in objections if objection]
        return found

    def table(self) -> str:
        """The declaration as a Markdown table."""
        rows = []
        for way, values in (("in", self.inputs), ("out", self.outputs)):
            for value in values:
                axes = ", ".join(map(str, value.axes))
                cells = [f"`{value.name}`", way, value.dtype, f"[{axes}]", value.meaning]
                rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(["| name | | dtype | axes | meaning |", "|---|---|---|---|---|", *rows])


@dataclass(frozen=True)
class GraphSpec(Declaration, abc.ABC):
    """The declaration of a graph that inputs can be drawn for. Use a subclass.

    Attributes:
        tokenizer: the source tokenizer, whose vocabulary samples are drawn from; None in a
            declaration that was read from a file.
    """

    tokenizer: Tokenizer | None

    @abc.abstractmethod
    def sample(self, batch: int, source_length: int, seed: int) -> dict[str, np.ndarray]:
        """Random inputs.

        Args:
            batch: number of sentences, 0 included.
            source_length: length of the longest in ids, the end id counted.
            seed: the same seed gives the same inputs.

        Returns:
            One array per input. From two sentences on, and from two ids on, at least one row is
            padded.
        """

    def to_json(self) -> dict[str, Any]:
        """The declaration without the tokenizer, as JSON types."""
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
            ValueError: If the declaration was read from a file and has none.
        """
        if self.tokenizer is None:
            raise ValueError(f"The declaration of {self.name!r} has no tokenizer to draw from.")
        return self.tokenizer

    def _rows(self, batch: int, longest: int, seed: int) -> list[list[int]]:
        """Random sentences as ids, the end id last: the first `longest` long, none longer."""
        if longest < 1:
            raise ValueError(f"`source_length` must be at least 1, for the end id; got {longest}.")
        draw = np.random.default_rng(seed)
        first_token, end = self.source_tokenizer.end_id + 1, self.source_tokenizer.end_id
        lengths = draw.integers(1, longest, endpoint=True, size=batch)
        lengths[:1], lengths[1:2] = longest, max(1, longest - 1)
        size = self.source_tokenizer.vocabulary_size
        return [[*draw.integers(first_token, size, size=n - 1).tolist(), end] for n in lengths]


class IdsSpec(GraphSpec):
    """Source ids in, target ids out, the search inside. Make one with `ids_spec`."""

    @property
    def dtype(self) -> str:
        """The dtype of all ids and lengths."""
        return self.inputs[0].dtype

    def sample(self, batch: int, source_length: int, seed: int) -> dict[str, np.ndarray]:
        """See `GraphSpec.sample`. Behind the end of a row stands no padding but random ids."""
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
    """Text in, text out. Make one with `text_spec`."""

    def sample(self, batch: int, source_length: int, seed: int) -> dict[str, np.ndarray]:
        """See `GraphSpec.sample`. The length counts the ids that a text was decoded from."""
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

    The n-best axis is always there, of length 1 for greedy search, so one program can call any such
    graph. The target axis always has the longest length, so a sentence's result does not depend on
    its batch mates.

    Args:
        name: name of the graph.
        tokenizer: the source tokenizer.
        n_best: hypotheses per sentence.
        max_length: longest target in ids, the end id counted.
        dtype: of ids and lengths: 'int64' as users of ONNX expect, 'int32' as TensorFlow's do.

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
                "Source ids, the end id last; what stands behind a row's length is not read.",
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
                "Ids per hypothesis, the end id counted; 0 where there is no such hypothesis.",
            ),
            Value(
                "scores",
                "float32",
                (batch, hypotheses),
                "What hypotheses are ranked by: log-probability under the length penalty; minus "
                "infinity where there is no such hypothesis.",
            ),
        ),
        tokenizer=tokenizer,
    )


def text_spec(name: str, tokenizer: Tokenizer) -> TextSpec:
    """Declares a graph from texts to texts.

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


def spec_from_json(found: Mapping[str, Any]) -> GraphSpec:
    """The declaration that `GraphSpec.to_json` described, without a tokenizer to draw from."""
    kinds: dict[str, type[GraphSpec]] = {kind.__name__: kind for kind in (IdsSpec, TextSpec)}
    return kinds[found["kind"]](
        name=found["name"],
        meaning=found["meaning"],
        inputs=tuple(Value.from_json(value) for value in found["inputs"]),
        outputs=tuple(Value.from_json(value) for value in found["outputs"]),
        tokenizer=None,
    )
