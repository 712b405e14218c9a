"""Writes what greedy and beam search share as ONNX loops around the decoder step of a model.

The loops compute what `search.GreedySearch` and `search.BeamSearch` compute. They have a quarter of
the operations that a conversion of these classes gives, and they take settings at run time.
`is_composed` says which searches have such a loop; tf2onnx converts all others whole.

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
    """Returns whether a search has a loop: greedy or beam search without controls of the logits.

    A subclass may do anything, so it has no loop.
    """
    if search.repetition_penalty != 1 or search.no_repeat_ngram:
        return False
    if type(search) is BeamSearch:
        return search.coverage_penalty is None and penalty_weight(search) is not None
    return type(search) is GreedySearch


def penalty_weight(search: BeamSearch) -> float | None:
    """Returns the weight of GNMT's length penalty, or None for a penalty of another form."""
    penalty = search.length_penalty
    if type(penalty) is NoPenalty:
        return 0.0
    if isinstance(penalty, GNMT) and type(penalty).__call__ is GNMT.__call__:
        return penalty.weight
    return None


def controls(search: Search) -> dict[str, int | float]:
    """Returns the settings that a caller may change at run time, with the search's own values."""
    settings: dict[str, int | float] = {
        # The addend b of a·S + b; the factor a is part of the graph.
        "min_length": int(np.floor(search.min_length[1])),
        "max_length": search.max_length,
    }
    if isinstance(search, BeamSearch):
        settings["beam_width"] = search.width
        settings["n_best"] = search.n_best
        settings["length_penalty"] = penalty_weight(search) or 0.0
    return settings


class SearchLoop:
    """A search as an encoder, a loop and the nodes that follow it.

    Make an instance of a subclass and call `write` once.

    Args:
        parts: the encoder and the step of the model.
        translator: the translator that has the special ids.
        search: a search for which `is_composed` is true.
        inputs: the names in the graph of `input_ids` and `input_lengths`, and of a scalar for
            each of the `controls`.
        prefix: the beginning of the names of all other values.

    Attributes:
        nodes: the nodes of the graph, complete after `write`.
        body: the nodes of the loop's body.
    """

    def __init__(
        self,
        parts: ModelParts,
        translator: Translator,
        search: Search,
        inputs: Mapping[str, str],
        prefix: str,
    ) -> None:
        target = translator.target_tokenizer
        self.parts = parts
        self.encoder, self.step = folded(parts)
        self.state = parts.state  # names of the tensors that an iteration hands to the next
        self.search = search
        self.inputs = inputs
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
        sources = {name: self.inputs[name] for name in ("input_ids", "input_lengths")}
        self.encoded = nodes.inline(self.encoder, sources)
        rows = nodes.add("Shape", [sources["input_ids"]], start=0, end=1)
        # An empty batch is encoded as one row of padding, which is removed from the outputs.
        self.batch = nodes.add("Max", [rows, self.first])  # (1,)
        pads = nodes.add("Sub", [self.batch, rows])
        pads = nodes.add("Concat", [nodes.constant([0]), pads], axis=0)
        self.lengths = nodes.add("Pad", [sources["input_lengths"], pads, self.zero])
        self.limit = nodes.add("Max", [self.inputs["max_length"], self.one])
        self.longest = self._longest()  # (B, 1)
        self.shortest = self._shortest()  # (B, 1)
        start, axis = nodes.constant([0]), nodes.constant([0])
        return {
            name: nodes.add("Slice", [value, start, rows, axis])
            for name, value in self._write().items()
        }

    def _write(self) -> dict[str, str]:
        """Writes the loop and its outputs, which may hold a row for an empty batch."""
        raise NotImplementedError

    def _longest(self) -> str:
        """Returns the longest length of each sentence, `(B, 1)`."""
        length = self._everywhere(self.limit)
        if self.search.length_limit is not None:
            line = self._line(*self.search.length_limit)
            length = self.nodes.add("Min", [line, length])
        return self.nodes.add("Max", [length, self.one])

    def _shortest(self) -> str:
        """Returns the shortest length of each sentence, `(B, 1)`."""
        factor, extra = self.search.min_length
        length = self._everywhere(self.inputs["min_length"])
        if factor:
            # ⌊a·S + b⌋; a caller may change the integer part of b at run time.
            line = self._line(factor, extra - np.floor(extra))
            length = self.nodes.add("Add", [line, length])
        return self.nodes.add("Min", [length, self.longest])

    def _everywhere(self, scalar: str) -> str:
        """Repeats a scalar for each sentence."""
        shape = self.nodes.add("Concat", [self.batch, self.first], axis=0)
        return self.nodes.add("Expand", [scalar, shape])  # (B, 1)

    def _line(self, factor: float, extra: float) -> str:
        """Returns ⌊factor · source length + extra⌋ of each sentence, `(B, 1)`."""
        nodes = self.nodes
        sources = nodes.add("Unsqueeze", [self.lengths, self.first])
        scaled = nodes.add(
            "Mul", [nodes.add("Cast", [sources], to=FLOAT), nodes.constant(float(factor))]
        )
        length = nodes.add("Floor", [nodes.add("Add", [scaled, nodes.constant(float(extra))])])
        return nodes.add("Cast", [length], to=INT64)

    def _step(self, tokens: str) -> dict[str, str]:
        """Adds the model's step to the body and returns the names of its outputs."""
        inputs = {"tokens": tokens}
        inputs |= {name: self.encoded[name] for name in self.parts.memory}
        inputs |= {name: self.body.prefix + name for name in self.state}
        # The step's constants go outside the loop, where a runtime can prepare them once.
        return self.body.inline(self.step, inputs, self.nodes)

    def _forbidden(self, tokens: str, taken: str, shortest: str) -> str:
        """Returns which candidates are forbidden.

        They are the end before the shortest length, and the unknown id where it is not allowed.
        """
        body, end = self.body, self.end
        soon = body.add("Less", [taken, shortest])
        forbidden = body.add("And", [body.add("Equal", [tokens, end]), soon])
        if self.search.allow_unknown:
            return forbidden
        unknown = body.add("Equal", [tokens, self.nodes.constant(self.unknown)])
        return body.add("Or", [forbidden, unknown])

    def _goes_on(self, done: str) -> str:
        """Returns whether any element of a bool tensor is false, as a bool scalar."""
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
        """Adds the loop around the body.

        Args:
            start: the name in the body, the first value and the dtype of each value that the search
                carries.
            after: the names of these values at the end of an iteration.
            states: the first value of each tensor of the model's state, and its name at the end of
                an iteration.
            goes_on: the name of a bool scalar that says whether there is another iteration.
            scanned: names of float32 values `(R, S)` that are stacked over iterations.

        Returns:
            The names of the last values that the search carries, then those of the stacked values.
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
        """Pads ids `(B, N, t)` to `(B, N, L)`; rows not `real` `(B, N, 1)` become padding alone."""
        nodes = self.nodes
        ids = nodes.add("Where", [real, ids, self.pad])
        return nodes.add("Pad", [ids, self._missing(ids, 3), self.pad])

    def _missing(self, values: str, rank: int) -> str:
        """Returns the pads that make `(B, N, L, …)` of values `(B, N, t, …)`."""
        nodes = self.nodes
        taken = nodes.add("Shape", [values], start=2, end=3)
        missing = nodes.add("Sub", [nodes.add("Reshape", [self.limit, self.first]), taken])
        none, behind = [0] * (rank + 2), [0] * (rank - 3)
        pads = [nodes.constant(none), missing, *([nodes.constant(behind)] if behind else [])]
        return nodes.add("Concat", pads, axis=0)

    def _lengths(self, ids: str, real: str) -> str:
        """Returns the lengths of ids `(B, N, L)`, the end id counted; 0 where not `real`."""
        nodes = self.nodes
        ends = nodes.add("Cast", [nodes.add("Equal", [ids, self.end])], to=INT32)
        place = nodes.add("ArgMax", [ends], axis=2, keepdims=0)
        return nodes.add("Where", [real, nodes.add("Add", [place, self.one]), self.zero])

    def _aligned(self, weights: str, lengths: str) -> str:
        """Pads weights `(B, N, t, S)` to `(B, N, L, S)`, with zeros behind each length."""
        nodes = self.nodes
        nothing = nodes.constant(0.0)
        weights = nodes.add("Pad", [weights, self._missing(weights, 4), nothing])
        places = nodes.add("Range", [self.zero, self.limit, self.one])
        within = nodes.add("Less", [places, nodes.add("Unsqueeze", [lengths, nodes.constant([2])])])
        within = nodes.add("Unsqueeze", [within, nodes.constant([3])])
        weights = nodes.add("Where", [within, weights, nothing])
        # The encoder adds one position to a source without any.
        source_length = nodes.add("Shape", [self.inputs["input_ids"]], start=1, end=2)
        starts, axes = nodes.constant([0]), nodes.constant([3])
        return nodes.add("Slice", [weights, starts, source_length, axes])
