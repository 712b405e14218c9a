"""NumPy oracle of `tfa.seq2seq` in float64: mechanisms, attention wrapper, beam search and loss.

The oracle is written from the formulas, row by row and step by step. It is itself tested against
the results of TensorFlow Addons (tests/fixtures). Weights are dictionaries with the names of the
fixtures.
"""

from typing import Any, NamedTuple

import numpy as np

from oracles.reference import gru_cell, log_softmax, lstm_cell, sigmoid, softmax

Array = np.ndarray
Weights = dict[str, Array]

# What the name of a fixture's case says about a mechanism beside its weights.
MODES = ("recursive", "parallel", "hard")


class Mechanism(NamedTuple):
    """One mechanism: its weights, and how scores become alignments.

    Attributes:
        weights: named as in the fixtures; the names that are present tell which score it is.
        probability: 'softmax', 'hardmax', or a mode of monotonic attention.
    """

    weights: Weights
    probability: str = "softmax"

    def scores(self, query: Array, values: Array) -> Array:
        """`(U,)` and `(S, M)` to `(S,)`."""
        weights = self.weights
        keys = values @ weights["memory_layer.kernel"]
        if "query_layer.kernel" in weights:
            v = weights["attention_v"]
            if "attention_g" in weights:
                v = weights["attention_g"] * v / np.linalg.norm(v)
            query = query @ weights["query_layer.kernel"] + weights.get("attention_b", 0.0)
            scores = np.tanh(keys + query) @ v
        else:
            scores = keys @ query * weights.get("attention_g", 1.0)
        return scores + weights.get("attention_score_bias", 0.0)

    def initial(self, source: int) -> Array:
        return np.eye(source)[0] if self.probability in MODES else np.zeros(source)

    def align(self, query: Array, values: Array, length: int, previous: Array) -> Array:
        """Alignments `(S,)` of one row and step; `values` are zero from `length` on."""
        scores = np.full(len(values), -np.inf)
        scores[:length] = self.scores(query, values)[:length]
        if self.probability == "softmax":
            return softmax(scores)
        if self.probability == "hardmax":
            return np.eye(len(values))[np.argmax(scores)]
        return monotonic(scores, previous, self.probability)


def monotonic(scores: Array, previous: Array, mode: str) -> Array:
    """The alignment of a walk along the memory that stops at `s` with chance `p_s`."""
    if mode == "hard":
        p = (scores > 0) * np.cumsum(previous)
        return p * np.concatenate([[1], np.cumprod(1 - p)[:-1]])
    p = np.where(np.isneginf(scores), 0, sigmoid(scores))
    aligned, reached = np.zeros_like(p), 0.0
    for s in range(len(p)):
        reached = (1 - p[s - 1]) * reached + previous[s] if s else previous[0]
        aligned[s] = p[s] * reached
    return aligned


def alignments(mechanism: Mechanism, query: Array, memory: Array, lengths: Array) -> Array:
    """`(B, T, U)`, `(B, S, M)`, `(B,)` to `(B, T, S)`."""
    batch, targets, _ = query.shape
    found = np.zeros((batch, targets, memory.shape[1]))
    for b in range(batch):
        values = memory[b] * (np.arange(memory.shape[1]) < lengths[b])[:, None]
        previous = mechanism.initial(len(values))
        for t in range(targets):
            previous = mechanism.align(query[b, t], values, lengths[b], previous)
            found[b, t] = previous
    return found


class State(NamedTuple):
    """The decoder's state of one row."""

    cells: tuple[tuple[Array, ...], ...]
    attention: Array
    alignments: tuple[Array, ...]


class Wrapper(NamedTuple):
    """An AttentionWrapper with embedding and output layer, for one row at a time."""

    weights: Weights
    mechanisms: tuple[Mechanism, ...]
    activation: Any = None
    output_attention: bool = True

    def numbered(self, name: str) -> list[Weights]:
        """Returns a dictionary per number: those of `cell.0.kernel`, … for `name='cell'`."""
        found: list[Weights] = []
        while members := {
            key.removeprefix(f"{name}.{len(found)}."): value
            for key, value in self.weights.items()
            if key.startswith(f"{name}.{len(found)}.")
        }:
            found.append(members)
        return found

    def initial(self, cells: tuple[tuple[Array, ...], ...], source: int, memory: int) -> State:
        layers = self.numbered("attention_layer")
        width = sum(x["kernel"].shape[1] for x in layers) or memory * len(self.mechanisms)
        return State(cells, np.zeros(width), tuple(m.initial(source) for m in self.mechanisms))

    def step(self, token: int, state: State, values: Array, length: int) -> tuple[Array, State]:
        """Returns logits `(V,)` and the state after `token`."""
        x = np.concatenate([self.weights["embedding"][token], state.attention])
        cells = []
        for cell, before in zip(self.numbered("cell"), state.cells, strict=True):
            function = lstm_cell if len(before) == 2 else gru_cell
            after = function(x, before, [cell[n] for n in ("kernel", "recurrent_kernel", "bias")])
            cells.append(tuple(after))
            x = after[0]
        aligned = tuple(
            m.align(x, values, length, before)
            for m, before in zip(self.mechanisms, state.alignments, strict=True)
        )
        parts = [a @ values for a in aligned]
        layers = self.numbered("attention_layer")
        if layers:
            activation = self.activation or (lambda x: x)
            parts = [
                activation(np.concatenate([x, context]) @ layer["kernel"])
                for context, layer in zip(parts, layers, strict=True)
            ]
        attention = np.concatenate(parts)
        output = attention if self.output_attention else x
        logits = output @ self.weights["output_layer.kernel"] + self.weights["output_layer.bias"]
        return logits, State(tuple(cells), attention, aligned)


class Beams(NamedTuple):
    """The result of a beam search: arrays `(B, T, K)`, and `(B, K)` for the last two."""

    predicted_ids: Array
    step_ids: Array
    step_parents: Array
    step_scores: Array
    lengths: Array
    log_probs: Array


def beam_search(
    wrapper: Wrapper,
    memory: Array,
    lengths: Array,
    cells: list[tuple[tuple[Array, ...], ...]],
    *,
    start: int,
    end: int,
    width: int,
    length_weight: float,
    coverage_weight: float,
    most_steps: int,
) -> Beams:
    """The beam search of tfa, its counting of lengths included.

    A candidate that ends now is ranked by its length without the end token, and one that ended
    before by its length with the end token. Coverage counts only for candidates that ended before.
    Rows go on until all have finished, so a row's last order can depend on the others.
    """
    rows = [
        _Row(wrapper, memory[b], lengths[b], cells[b], start, width) for b in range(len(memory))
    ]
    while len(rows[0].ids) < most_steps and not all(row.done for row in rows):
        for row in rows:
            row.advance(end, length_weight, coverage_weight)
    return Beams(
        np.array([row.traced(end) for row in rows]),
        np.array([row.ids for row in rows]),
        np.array([row.parents for row in rows]),
        np.array([row.scores for row in rows]),
        np.array([[beam.length for beam in row.beams] for row in rows]),
        np.array([[beam.log_prob for beam in row.beams] for row in rows]),
    )


class _Beam(NamedTuple):
    token: int
    state: State
    log_prob: float
    finished: bool
    length: int
    covered: Array


class _Row:
    """One source sentence and its beams."""

    def __init__(
        self, wrapper: Any, memory: Array, length: int, cells: Any, start: int, width: int
    ):
        self.wrapper, self.length, self.width = wrapper, length, width
        self.values = memory * (np.arange(len(memory)) < length)[:, None]
        state = wrapper.initial(cells, *memory.shape)
        covered = np.mean(state.alignments, axis=0)
        self.beams = [
            _Beam(start, state, 0.0 if k == 0 else -np.inf, k > 0, 0, covered) for k in range(width)
        ]
        self.ids: list[list[int]] = []
        self.parents: list[list[int]] = []
        self.scores: list[list[float]] = []

    @property
    def done(self) -> bool:
        return all(beam.finished for beam in self.beams)

    def advance(self, end: int, length_weight: float, coverage_weight: float) -> None:
        candidates = []
        for k, beam in enumerate(self.beams):
            logits, state = self.wrapper.step(beam.token, beam.state, self.values, self.length)
            covered = beam.covered
            log_probs = log_softmax(logits)
            coverage = 0.0
            if beam.finished:
                log_probs = np.where(np.arange(len(logits)) == end, 0.0, -np.inf)
                seen = covered[covered > 0]
                coverage = coverage_weight * np.log(np.minimum(seen, 1.0)).sum()
            else:
                covered = covered + np.mean(state.alignments, axis=0)
            for token, log_prob in enumerate(log_probs):
                total = beam.log_prob + log_prob
                counted = beam.length + (not beam.finished and token != end)
                score = total / ((5 + counted) / 6) ** length_weight + coverage
                ended = beam.finished or token == end
                length = beam.length + (not beam.finished)
                candidates.append((score, k, _Beam(token, state, total, ended, length, covered)))
        candidates.sort(key=lambda x: -x[0])  # the sort keeps the order of ties
        best = candidates[: self.width]
        self.beams = [beam for _, _, beam in best]
        self.ids.append([beam.token for beam in self.beams])
        self.parents.append([k for _, k, _ in best])
        self.scores.append([score for score, _, _ in best])

    def traced(self, end: int) -> list[list[int]]:
        """Returns ids `(T, K)`: follows the parents back, and writes `end` after the first end.

        The walk starts where the row's longest beam ended. A row may be ranked anew after that
        step, while others go on. It then keeps the order of that step here, and has the last order
        in `lengths` and `log_probs`, so these two do not belong to the ids beside them.
        """
        found = np.full((len(self.ids), self.width), end)
        for k in range(self.width):
            parent = k
            for t in reversed(range(max(beam.length for beam in self.beams))):
                found[t, k] = self.ids[t][parent]
                parent = self.parents[t][parent]
            ends = np.flatnonzero(found[:, k] == end)
            if ends.size:
                found[ends[0] :, k] = end
        return found.tolist()


def cross_entropies(logits: Array, targets: Array) -> Array:
    """`(B, T, V)`, `(B, T)` to `(B, T)`."""
    return -np.take_along_axis(log_softmax(logits), targets[..., None], axis=-1)[..., 0]
