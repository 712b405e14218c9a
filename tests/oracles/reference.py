"""NumPy oracles that compute once more what the modelling core must compute, step by step.

The code goes row by row and step by step. Nothing here imports Keras or TensorFlow, and nothing is
clever.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


# Recurrence


def lstm_cell(x: Array, state: tuple[Array, Array], weights: list[Array]) -> tuple[Array, ...]:
    """One step of one row, from `x` `(D,)` and `(h, c)` of `(U,)` each to the new `(h, c)`."""
    kernel, recurrent_kernel, bias = weights
    h, c = state
    i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_cell(x: Array, state: tuple[Array], weights: list[Array]) -> tuple[Array, ...]:
    """One step of one row, with the reset gate after the recurrent product."""
    kernel, recurrent_kernel, (input_bias, recurrent_bias) = weights
    (h,) = state
    x_z, x_r, x_n = np.split(x @ kernel + input_bias, 3)
    h_z, h_r, h_n = np.split(h @ recurrent_kernel + recurrent_bias, 3)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return (z * h + (1 - z) * np.tanh(x_n + r * h_n),)


CELLS: dict[str, tuple[Callable[..., tuple[Array, ...]], int]] = {
    "lstm": (lstm_cell, 2),
    "gru": (gru_cell, 1),
}


def recurrence(
    cell: str,
    x: Array,
    weights: list[Array],
    mask: Array | None = None,
    state: tuple[Array, ...] | None = None,
) -> tuple[Array, tuple[Array, ...]]:
    """`(B, T, D)` to outputs `(B, T, U)` and the final state; a masked step changes nothing."""
    step, n_states = CELLS[cell]
    batch, length, _ = x.shape
    units = weights[1].shape[0]
    if mask is None:
        mask = np.ones((batch, length), bool)
    if state is None:
        state = tuple(np.zeros((batch, units)) for _ in range(n_states))
    outputs = np.zeros((batch, length, units))
    finals = []
    for b in range(batch):
        row = tuple(part[b] for part in state)
        for t in range(length):
            if mask[b, t]:
                row = step(x[b, t], row, weights)
            outputs[b, t] = row[0]
        finals.append(row)
    return outputs, tuple(np.array(part) for part in zip(*finals, strict=True))


# Attention


def attention(score: str, query: Array, values: Array, mask: Array, weights: list[Array]) -> Any:
    """`(B, T, U)`, `(B, S, M)`, `(B, S)` to context `(B, T, M)` and weights `(B, T, S)`."""
    batch, targets, _ = query.shape
    attended = np.zeros((batch, targets, values.shape[1]))
    for b, t in np.ndindex(batch, targets):
        real = np.flatnonzero(mask[b])
        if real.size:
            scores = np.array([_score(score, query[b, t], values[b, s], weights) for s in real])
            attended[b, t, real] = softmax(scores)
    return attended @ values, attended


def _score(score: str, query: Array, value: Array, weights: list[Array]) -> float:
    if score == "dot":
        return float(query @ value)
    if score == "general":
        return float(value @ weights[0] @ query)
    query_kernel, values_kernel, scale = weights
    return float((np.tanh(query @ query_kernel + value @ values_kernel) @ scale).item())


# Encoder and decoder; weights are read off the layer as NumPy arrays.


def arrays(layer: Any) -> list[Array]:
    """The weights of a layer, in float64."""
    return [np.asarray(w, "float64") for w in layer.get_weights()]


def encode(encoder: Any, source_ids: Array) -> tuple[Array, Array, list[tuple[Array, ...]]]:
    """Returns values `(B, S, M)`, mask `(B, S)` and the state per layer, without dropout."""
    ids = source_ids[:, ::-1] if encoder.reverse_source else source_ids
    mask = ids != encoder.pad_id
    x = arrays(encoder.embedding)[0][ids]
    state = []
    for i in range(encoder.depth):
        outputs, final = recurrence(encoder.cell, x, arrays(encoder.blocks[i].recurrent), mask)
        if encoder.bidirectional:
            back, back_final = recurrence(
                encoder.cell, x[:, ::-1], arrays(encoder.blocks[i].backward), mask[:, ::-1]
            )
            outputs = np.concatenate([outputs, back[:, ::-1]], axis=-1)
            final = tuple(np.concatenate(both, axis=-1) for both in zip(final, back_final))  # noqa: B905
        x = outputs
        state.append(final)
    if encoder.reverse_source:
        x, mask = x[:, ::-1], mask[:, ::-1]
    return x, mask, state


def decode(
    decoder: Any, target_ids: Array, state: Any, values: Array, mask: Array
) -> tuple[Array, list[tuple[Array, ...]], Array]:
    """Returns logits `(B, T, V)`, final state and weights `(B, T, S)`, without dropout.

    Luong et al. (2015), eq. 5 and 6: a = tanh(Wc·[context; h]), logits = Ws·a + b.
    """
    x = arrays(decoder.embedding)[0][target_ids]
    new_state = []
    for block, before in zip(decoder.blocks, state, strict=True):
        x, after = recurrence(decoder.cell, x, arrays(block.recurrent), state=before)
        new_state.append(after)
    weights = np.zeros((*target_ids.shape, values.shape[1]))
    if decoder.attention is not None:
        score = type(decoder.attention.score).__name__.removesuffix("Score").lower()
        context, weights = attention(score, x, values, mask, arrays(decoder.attention.score))
        x = np.tanh(np.concatenate([context, x], axis=-1) @ arrays(decoder.attention_layer)[0])
    kernel, bias = arrays(decoder.output_layer)
    return x @ kernel + bias, new_state, weights


# Search. `logits_of(prefix)` gives the logits (V,) that follow a tuple of ids.

LogitsOf = Callable[[tuple[int, ...]], Array]


class Hypothesis(NamedTuple):
    """A whole sequence, the end token included, with its log-probability and its score."""

    ids: tuple[int, ...]
    log_prob: float
    score: float


def gnmt(log_prob: float, length: int, weight: float) -> float:
    """The score of a hypothesis under the length penalty of Wu et al. (2016), eq. 14."""
    return log_prob / ((5 + length) / 6) ** weight


def log_prob(logits_of: LogitsOf, ids: tuple[int, ...]) -> float:
    """The log-probability that the model gives to a whole sequence, by scoring it again."""
    return float(sum(log_softmax(logits_of(ids[:t]))[ids[t]] for t in range(len(ids))))


def greedy(logits_of: LogitsOf, max_length: int, end: int) -> Hypothesis:
    """Takes the most probable token each time; the end is forced at the last position."""
    ids: tuple[int, ...] = ()
    while not ids or ids[-1] != end:
        last = len(ids) == max_length - 1
        ids = (*ids, end if last else int(np.argmax(logits_of(ids))))
    total = log_prob(logits_of, ids)
    return Hypothesis(ids, total, total)


# A function from ids and their log-probability to a score.
Rank = Callable[[tuple[int, ...], float], float]


def _ranked(
    found: list[tuple[tuple[int, ...], float, float]], rank: Rank | float
) -> list[Hypothesis]:
    """Returns hypotheses best first, out of ids, log-probability and the sum that ranks them."""

    def score(ids: tuple[int, ...], total: float) -> float:
        return rank(ids, total) if callable(rank) else gnmt(total, len(ids), rank)

    scored = [Hypothesis(ids, log_prob, score(ids, total)) for ids, log_prob, total in found]
    return sorted(scored, key=lambda hypothesis: -hypothesis.score)


def exhaustive(
    logits_of: LogitsOf, vocabulary: int, max_length: int, end: int, rank: Rank | float
) -> list[Hypothesis]:
    """Returns every sequence that ends within `max_length`, best score first.

    If `rank` is a number, it is the weight of GNMT's length penalty.
    """

    def sequences() -> Iterator[tuple[int, ...]]:
        others = [token for token in range(vocabulary) if token != end]
        for length in range(max_length):
            for prefix in itertools.product(others, repeat=length):
                yield (*prefix, end)

    scored = ((ids, log_prob(logits_of, ids)) for ids in sequences())
    return _ranked([(ids, total, total) for ids, total in scored], rank)


def beam(
    logits_of: LogitsOf,
    max_length: int,
    end: int,
    width: int,
    rank: Rank | float,
    choose: Callable[[tuple[int, ...], Array], Array] | None = None,
) -> list[Hypothesis]:
    """Beam search in lists keeps the `width` best extensions; a finished one keeps its place.

    There is no early stop: the search goes on until every place is finished. `choose(ids,
    log_probs)` gives the numbers whose sum ranks the hypotheses, with minus infinity for forbidden
    tokens.
    """
    live: list[tuple[tuple[int, ...], float, float]] = [((), 0.0, 0.0)]
    finished: list[tuple[tuple[int, ...], float, float]] = []
    while live:
        extended = []
        for ids, total, worth in live:
            log_probs = log_softmax(logits_of(ids))
            values = log_probs if choose is None else choose(ids, log_probs.copy())
            tokens = np.flatnonzero(values > -np.inf).tolist()
            if len(ids) == max_length - 1:
                tokens, values = [end], log_probs
            extended += [
                ((*ids, token), total + float(log_probs[token]), worth + float(values[token]))
                for token in tokens
            ]
        extended.sort(key=lambda each: -each[2])
        best = extended[: width - len(finished)]
        finished += [each for each in best if each[0][-1] == end]
        live = [each for each in best if each[0][-1] != end]
    return _ranked(finished, rank)


# Loss


def cross_entropy(
    labels: Array, logits: Array, weights: Array | None = None, pad: int = 0
) -> float:
    """Σ w·(−log p[label]) / Σ w over the labels that are not padding; 0 where there are none."""
    total = count = 0.0
    for place in np.ndindex(labels.shape):
        if labels[place] == pad:
            continue
        weight = 1.0 if weights is None else float(weights[place])
        total -= weight * log_softmax(logits[place].astype("float64"))[labels[place]]
        count += weight
    return total / count if count else 0.0


def smoothed_cross_entropy(
    labels: Array, logits: Array, smoothing: float, weights: Array | None = None, pad: int = 0
) -> float:
    """The `cross_entropy` against (1 − ε)·onehot + ε/V over all V entries."""
    size = logits.shape[-1]
    total = count = 0.0
    for place in np.ndindex(labels.shape):
        if labels[place] == pad:
            continue
        weight = 1.0 if weights is None else float(weights[place])
        target = (1 - smoothing) * np.eye(size)[labels[place]] + smoothing / size
        total -= weight * float(target @ log_softmax(logits[place].astype("float64")))
        count += weight
    return total / count if count else 0.0


def sampled_cross_entropy(
    labels: Array, logits: Array, ids: Array, log_expected: Array, weights: Array
) -> float:
    """Σ of the weighted sampled cross-entropy of tokens, each in a softmax of its own."""
    total = 0.0
    for label, row, weight in zip(
        labels.ravel(), logits.reshape(-1, logits.shape[-1]), weights.ravel(), strict=True
    ):
        shifted = row.astype("float64") - log_expected
        others = [shifted[i] for i in ids if i != label]
        total -= weight * log_softmax(np.array([shifted[label], *others]))[0]
    return total


def accuracy(labels: Array, logits: Array, pad: int = 0) -> float:
    """Share of the labels that are not padding whose logit is the largest."""
    real = labels != pad
    return float((logits.argmax(-1) == labels)[real].mean())


def numeric_gradient(f: Callable[[Array], float], x: Array, step: float = 1e-6) -> Array:
    """The central differences of a scalar function, one coordinate at a time, in float64."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (f(up) - f(down)) / (2 * step)
    return gradient
