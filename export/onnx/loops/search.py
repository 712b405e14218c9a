"""Searches as ONNX loops around the step of a model: what greedy and beam search share there.

They do what `search.GreedySearch` and `search.BeamSearch` do, in a quarter of the operations that a
conversion of those gives, and take settings at run time. `is_composed` says of which searches there
is such a form; all others are converted whole.

Shapes: `B` sentences, `K` places of each in a beam, `R = B·K` rows, `V` target ids, `S` source
positions, `N` hypotheses returned, `L` the longest output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from keras_s2s.export.onnx.graph.nodes import Nodes
from keras_s2s.export.onnx.loops.folding import folded
from keras_s2s.export.onnx.parts import ModelParts
from keras_s2s.search import GNMT, BeamSearch, GreedySearch, NoPenalty, Search
from keras_s2s.translation.translator import Translator

INT32, INT64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64
BOOL, FLOAT = onnx.TensorProto.BOOL, onnx.TensorProto.FLOAT


def is_composed(search: Search) -> bool:
    """Whether there is a loop for this search: greedy or beam, without controls of the logits.

    A subclass may do anything, so it has none.
    """
    if search.repetition_penalty != 1 or search.no_repeat_ngram:
        return False
    if type(search) is BeamSearch:
        return search.coverage_penalty is None and penalty_weight(search) is not None
    return type(search) is GreedySearch


def penalty_weight(search: BeamSearch) -> float | None:
    """The weight of GNMT's length penalty; None for a penalty of another form."""
    penalty = search.length_penalty
    if type(penalty) is NoPenalty:
        return 0.0
    if isinstance(penalty, GNMT) and type(penalty).__call__ is GNMT.__call__:
        return penalty.weight
    return None


def controls(search: Search) -> dict[str, int | float]:
    """What a caller may set at run time, each with what holds otherwise: the search's own."""
    found: dict[str, int | float] = {
        # Of a·S + b the addend; a is part of the graph.
        "min_length": int(np.floor(search.min_length[1])),
        "max_length": search.max_length,
    }
    if isinstance(search, BeamSearch):
        found["beam_width"] = search.width
        found["n_best"] = search.n_best
        found["length_penalty"] = penalty_weight(search) or 0.0
    return found


class SearchLoop:
    """Encoder, loop and what follows it. Use a subclass, once, by calling `write`.

    Args:
        parts: the model.
        translator: gives the special ids.
        search: one for which `is_composed`.
        given: the names of `input_ids`, `input_lengths` and, for each of the `controls`, of a
            scalar.
        prefix: begins the names of all other values.

    Attributes:
        nodes: what was written.
    """

    def __init__(
        self,
        parts: ModelParts,
        translator: Translator,
        search: Search,
        given: Mapping[str, str],
        prefix: str,
    ) -> None:
        target = translator.target_tokenizer
        self.parts = parts
        self.encoder, self.step = folded(parts)
        self.state = parts.state  # what an iteration reads of the one before
        self.search = search
        self.given = given
        self.nodes = nodes = Nodes(prefix)
        self.body = Nodes(f"{prefix}loop/")
        self.zero, self.one = nodes.constant(0), nodes.constant(1)
        self.first, self.minus = nodes.constant([1]), nodes.constant([-1])
        self.start, self.end = nodes.constant(target.start_id), nodes.constant(target.end_id)
        self.pad, self.unknown = nodes.constant(translator.model.pad_id), target.unknown_id

    def write(self) -> dict[str, str]:
        """Writes all nodes.

        Returns:
            The names of `output_ids` `(B, N, L)`, `output_lengths` `(B, N)`, `scores` `(B, N)` and,
            where the model attends, `alignments` `(B, N, L, S)`.
        """
        nodes = self.nodes
        sources = {name: self.given[name] for name in ("input_ids", "input_lengths")}
        self.encoded = nodes.inline(self.encoder, sources)
        rows = nodes.add("Shape", [sources["input_ids"]], start=0, end=1)
        # An empty batch is encoded as one row of padding, which is taken off in the end.
        self.batch = nodes.add("Max", [rows, self.first])  # (1,)
        pads = nodes.add("Sub", [self.batch, rows])
        pads = nodes.add("Concat", [nodes.constant([0]), pads], axis=0)
        self.lengths = nodes.add("Pad", [sources["input_lengths"], pads, self.zero])
        self.limit = nodes.add("Max", [self.given["max_length"], self.one])
        self.longest = self._longest()  # (B, 1)
        self.shortest = self._shortest()  # (B, 1)
        start, axis = nodes.constant([0]), nodes.constant([0])
        return {
            name: nodes.add("Slice", [value, start, rows, axis])
            for name, value in self._write().items()
        }

    def _write(self) -> dict[str, str]:
        raise NotImplementedError

    def _longest(self) -> str:
        length = self._everywhere(self.limit)
        if self.search.length_limit is not None:
            line = self._line(*self.search.length_limit)
            length = self.nodes.add("Min", [line, length])
        return self.nodes.add("Max", [length, self.one])

    def _shortest(self) -> str:
        factor, extra = self.search.min_length
        length = self._everywhere(self.given["min_length"])
        if factor:
            # ⌊a·S + b⌋, where the whole part of b may be another at run time
            line = self._line(factor, extra - np.floor(extra))
            length = self.nodes.add("Add", [line, length])
        return self.nodes.add("Min", [length, self.longest])

    def _everywhere(self, scalar: str) -> str:
        shape = self.nodes.add("Concat", [self.batch, self.first], axis=0)
        return self.nodes.add("Expand", [scalar, shape])  # (B, 1)

    def _line(self, factor: float, extra: float) -> str:
        nodes = self.nodes
        sources = nodes.add("Unsqueeze", [self.lengths, self.first])
        scaled = nodes.add(
            "Mul", [nodes.add("Cast", [sources], to=FLOAT), nodes.constant(float(factor))]
        )
        length = nodes.add("Floor", [nodes.add("Add", [scaled, nodes.constant(float(extra))])])
        return nodes.add("Cast", [length], to=INT64)

    def _step(self, tokens: str) -> dict[str, str]:
        """The model's step, inside the body: its outputs by name."""
        inputs = {"tokens": tokens}
        inputs |= {name: self.encoded[name] for name in self.parts.memory}
        inputs |= {name: self.body.prefix + name for name in self.state}
        # Its constants stay outside, where a runtime can prepare them once.
        return self.body.inline(self.step, inputs, self.nodes)

    def _forbidden(self, tokens: str, taken: str, shortest: str) -> str:
        """Which candidates may not be: the end too soon, and the unknown id where not allowed."""
        body, end = self.body, self.end
        soon = body.add("Less", [taken, shortest])
        forbidden = body.add("And", [body.add("Equal", [tokens, end]), soon])
        if self.search.allow_unknown:
            return forbidden
        unknown = body.add("Equal", [tokens, self.nodes.constant(self.unknown)])
        return body.add("Or", [forbidden, unknown])

    def _goes_on(self, done: str) -> str:
        """Whether any of a bool tensor is false: a bool scalar."""
        least = self.body.add("ReduceMin", [self.body.add("Cast", [done], to=INT32)], keepdims=0)
        return self.body.add("Not", [self.body.add("Cast", [least], to=BOOL)])

    def _loop(
        self,
        start: Sequence[tuple[str, str, int]],
        after: Sequence[str],
        states: Mapping[str, tuple[str, str]],
        goes_on: str,
        scanned: Sequence[str],
    ) -> list[str]:
        """Closes the loop.

        Args:
            start: of each value that the search carries its name in the body, its first value and
                its type.
            after: their names at the end of an iteration.
            states: of each tensor of the model's state its first value, and its name at the end of
                an iteration.
            goes_on: whether there is another iteration.
            scanned: float32 values `(R, S)` that are stacked over iterations.

        Returns:
            The last values of what the search carries, then what was stacked.
        """
        info = helper.make_tensor_value_info
        types = {value.name: value.type.tensor_type for value in self.step.input}
        before = [info(name, kind, None) for name, _, kind in start]
        new = [info(name, kind, None) for name, (_, _, kind) in zip(after, start, strict=True)]
        for name, (_, last) in states.items():
            kind = types[name].elem_type
            before.append(info(self.body.prefix + name, kind, None))
            new.append(info(last, kind, None))
        stacked = [info(name, FLOAT, [None, None]) for name in scanned]
        loop = self.body.loop_body(before, [*new, *stacked], goes_on)
        values = [*(value for _, value, _ in start), *(first for first, _ in states.values())]
        outputs = self.nodes.add_all(
            "Loop",
            [self.limit, "", *values],
            len(values) + len(scanned),
            body=loop,
        )
        return [*outputs[: len(start)], *outputs[len(values) :]]

    def _padded(self, ids: str, real: str) -> str:
        """Ids `(B, N, t)` to `(B, N, L)`; what is not `real` `(B, N, 1)` becomes padding."""
        nodes = self.nodes
        ids = nodes.add("Where", [real, ids, self.pad])
        return nodes.add("Pad", [ids, self._missing(ids, 3), self.pad])

    def _missing(self, values: str, rank: int) -> str:
        """The pads of values `(B, N, t, …)` that make `L` of `t`."""
        nodes = self.nodes
        taken = nodes.add("Shape", [values], start=2, end=3)
        missing = nodes.add("Sub", [nodes.add("Reshape", [self.limit, self.first]), taken])
        none, behind = [0] * (rank + 2), [0] * (rank - 3)
        pads = [nodes.constant(none), missing, *([nodes.constant(behind)] if behind else [])]
        return nodes.add("Concat", pads, axis=0)

    def _lengths(self, ids: str, real: str) -> str:
        """Ids `(B, N, L)` to the places behind their first end ids, 0 where they are not `real`."""
        nodes = self.nodes
        ends = nodes.add("Cast", [nodes.add("Equal", [ids, self.end])], to=INT32)
        place = nodes.add("ArgMax", [ends], axis=2, keepdims=0)
        return nodes.add("Where", [real, nodes.add("Add", [place, self.one]), self.zero])

    def _aligned(self, weights: str, lengths: str) -> str:
        """Weights `(B, N, t, S)` to `(B, N, L, S)`, zero behind each length."""
        nodes = self.nodes
        nothing = nodes.constant(0.0)
        weights = nodes.add("Pad", [weights, self._missing(weights, 4), nothing])
        places = nodes.add("Range", [self.zero, self.limit, self.one])
        within = nodes.add("Less", [places, nodes.add("Unsqueeze", [lengths, nodes.constant([2])])])
        within = nodes.add("Unsqueeze", [within, nodes.constant([3])])
        weights = nodes.add("Where", [within, weights, nothing])
        # The encoder puts a position where a caller gave none.
        given = nodes.add("Shape", [self.given["input_ids"]], start=1, end=2)
        starts, axes = nodes.constant([0]), nodes.constant([3])
        return nodes.add("Slice", [weights, starts, given, axes])
