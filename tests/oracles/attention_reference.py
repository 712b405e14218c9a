"""NumPy oracle of the attention mechanisms, each written from its paper's formula in float64.

The code goes through rows, steps and source positions one after the other. No state is carried on:
each step gets the weights of all steps before it, and masked positions are never read. Options and
weights come from the layer. Nothing here imports Keras, and nothing is clever.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from oracles.reference import sigmoid, softmax

Array = np.ndarray
Weights = dict[str, Array]
Options = dict[str, Any]


def weights_of(layer: Any) -> Weights:
    """Returns arrays by name; where names are equal, a layer's own weight takes precedence."""
    pairs = list(zip(layer.weights, layer.get_weights(), strict=True))
    return {variable.name: np.asarray(value, "float64") for variable, value in reversed(pairs)}


# A score takes one query `(U,)` and the value `(M,)` at position `s`; `past` holds the weights
# `(S,)` of all steps before.


def dot(o: Options, w: Weights, query: Array, value: Array, s: int, past: list[Array]) -> float:
    return sum(q * v for q, v in zip(query, value, strict=True))


def scaled_dot(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> float:
    return dot(o, w, query, value, s, past) / np.sqrt(len(query))


def general(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> float:
    return query @ w["kernel"].T @ value


def scaled_general(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> float:
    return w["gain"] * general(o, w, query, value, s, past)


def concat(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> float:
    """The score as Luong writes it, with one matrix over the pair."""
    both = np.concatenate([w["query_kernel"], w["values_kernel"]]).T
    return w["vector"][:, 0] @ np.tanh(both @ np.concatenate([query, value]))


def normalized_concat(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> Any:
    vector = w["vector"][:, 0]
    hidden = query @ w["query_kernel"] + value @ w["values_kernel"] + w["bias"]
    return w["gain"] * vector @ np.tanh(hidden) / np.sqrt((vector**2).sum())


def location(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> float:
    features = np.zeros(o["filters"])
    seen = np.sum(past, axis=0) if o["cumulative"] else past[-1] if past else 0.0
    for k in range(o["width"]):
        place = s + k - (o["width"] - 1) // 2
        if past and 0 <= place < len(seen):
            features += w["filter_kernel"][k, 0] * seen[place]
    hidden = query @ w["query_kernel"] + value @ w["values_kernel"]
    return w["vector"][:, 0] @ np.tanh(hidden + features @ w["location_kernel"] + w["bias"])


def coverage(o: Options, w: Weights, query: Array, value: Array, s: int, past: Any) -> float:
    covered = sum(weights[s] for weights in past)
    if o["fertility"] is not None:
        covered /= o["fertility"] * sigmoid(value @ w["fertility_vector"][:, 0])
    hidden = query @ w["query_kernel"] + value @ w["values_kernel"]
    return w["vector"][:, 0] @ np.tanh(hidden + covered * w["coverage_vector"])


SCORES: dict[str, Callable[..., Any]] = {
    "DotScore": dot,
    "ScaledDotScore": scaled_dot,
    "GeneralScore": general,
    "ScaledGeneralScore": scaled_general,
    "ConcatScore": concat,
    "NormalizedConcatScore": normalized_concat,
    "LocationScore": location,
    "CoverageScore": coverage,
}

# A probability function takes scores `(S,)`, the mask of allowed positions, and the last alignment.


def on_allowed(function: Callable[[Array], Array]) -> Callable[..., Array]:
    """Applies a function to the allowed scores alone; the result is zero elsewhere."""

    def whole(o: Options, w: Weights, scores: Array, allowed: Array, before: Array) -> Array:
        found = np.zeros_like(scores)
        if allowed.any():
            found[allowed] = function(scores[allowed])
        return found

    return whole


def hardmax(scores: Array) -> Array:
    return np.eye(len(scores))[list(scores).index(max(scores))]


def sparsemax(scores: Array) -> Array:
    """The nearest point of the simplex, which is found by trying every support.

    On a support the nearest point of the plane Σp = 1 is p = z − τ with τ = (Σz − 1) / size. The
    nearest of those without a negative part is the nearest of all.
    """
    candidates = []
    for size in range(1, len(scores) + 1):
        for support in map(list, itertools.combinations(range(len(scores)), size)):
            point = np.zeros_like(scores)
            point[support] = scores[support] - (scores[support].sum() - 1) / size
            if (point >= 0).all():
                candidates.append(point)
    return min(candidates, key=lambda point: ((point - scores) ** 2).sum())


def monotonic(o: Options, w: Weights, scores: Array, allowed: Array, before: Array) -> Array:
    """The alignment of a step that goes on from each place where the last step may have stopped.

    Expected: a_j = p_j · Σ_{k ≤ j} a⁻_k · Π_{k ≤ l < j} (1 − p_l). Hard: from where it stopped, the
    first position with a score above 0.
    """
    scores = scores + w["offset"]
    found = np.zeros_like(scores)
    if o["mode"] == "hard":
        for start in np.flatnonzero(before):
            stops = [j for j in range(start, len(scores)) if allowed[j] and scores[j] > 0]
            found[stops[:1]] = 1
        return found
    p = np.array([sigmoid(x) if ok else 0.0 for x, ok in zip(scores, allowed, strict=True)])
    for j in range(len(p)):
        found[j] = p[j] * sum(before[k] * np.prod(1 - p[k:j]) for k in range(j + 1))
    return found


PROBABILITIES: dict[str, Callable[..., Array]] = {
    "Softmax": on_allowed(softmax),
    "Hardmax": on_allowed(hardmax),
    "Sparsemax": on_allowed(sparsemax),
    "Monotonic": monotonic,
}

# A window takes the query `(U,)` of step `t`, the place of a token among the real ones, and their
# number.


def local_monotonic(o: Options, w: Weights, query: Array, t: int, place: int, count: int) -> Any:
    return abs(place - t) <= o["radius"], 1.0


def local_predictive(o: Options, w: Weights, query: Array, t: int, place: int, count: int) -> Any:
    hidden = np.tanh(query @ w["position_kernel"])
    centre = count * sigmoid((hidden @ w["position_vector"])[0])
    deviation = o["radius"] / 2
    factor = np.exp(-((place - centre) ** 2) / (2 * deviation**2))
    return abs(place - centre) <= o["radius"], factor


WINDOWS: dict[str, Callable[..., Any]] = {
    "LocalMonotonicWindow": local_monotonic,
    "LocalPredictiveWindow": local_predictive,
}

# A mechanism turns `(B, T, U)`, `(B, S, M)`, `(B, S)` into context `(B, T, C)` and weights `(B, T,
# S)`.


def attend(mechanism: Any, query: Array, values: Array, mask: Array) -> tuple[Array, Array]:
    return MECHANISMS[type(mechanism).__name__](mechanism, query, values, mask)


def attention(layer: Any, query: Array, values: Array, mask: Array) -> tuple[Array, Array]:
    batch, targets, _ = query.shape
    weights = np.zeros((batch, targets, values.shape[1]))
    context = np.zeros((batch, targets, values.shape[2]))
    for b in range(batch):
        if mask[b].any():
            weights[b] = _row(layer, query[b], values[b], mask[b])
        for t in range(targets):
            context[b, t] = sum(
                (weights[b, t, s] * values[b, s] for s in np.flatnonzero(mask[b])), start=0.0
            )
    return context, weights


def _row(layer: Any, query: Array, values: Array, mask: Array) -> Array:
    """The weights of one row with real tokens: `(T, U)`, `(S, M)`, `(S,)` to `(T, S)`."""

    def part(known: dict[str, Any], given: Any) -> Callable[..., Any]:
        options, weights = given.get_config(), weights_of(given)
        return lambda *x: known[type(given).__name__](options, weights, *x)

    score = part(SCORES, layer.score)
    probability = part(PROBABILITIES, layer.probability)
    window = part(WINDOWS, layer.window) if layer.window else lambda *_: (True, 1.0)
    real = np.flatnonzero(mask)
    alignment = np.eye(len(mask))[real[0]]
    past: list[Array] = []
    for t in range(len(query)):
        scores, allowed, factors = (
            np.zeros(len(mask)),
            np.zeros(len(mask), bool),
            np.ones(len(mask)),
        )
        for place, s in enumerate(real):
            scores[s] = score(query[t], values[s], s, past)
            allowed[s], factors[s] = window(query[t], t, place, len(real))
        alignment = probability(scores, allowed, alignment)
        past.append(alignment * factors)
    return np.array(past)


def several(layer: Any, query: Array, values: Array, mask: Array) -> tuple[Array, Array]:
    found = [attend(member, query, values, mask) for member in layer.members]
    return np.concatenate([c for c, _ in found], axis=-1), np.mean([w for _, w in found], axis=0)


def multi_head(layer: Any, query: Array, values: Array, mask: Array) -> tuple[Array, Array]:
    w = weights_of(layer)
    size = w["output_kernel"].shape[0] // layer.heads
    contexts, weights = [], []
    for i, head in enumerate(layer.members):
        part = slice(i * size, (i + 1) * size)
        # The head attends over its keys and reads its values.
        _, attended = attend(head, query @ w["query_kernel"][:, part],
                             values @ w["keys_kernel"][:, part], mask)  # fmt: skip
        contexts.append(attended @ (values @ w["values_kernel"][:, part]))
        weights.append(attended)
    return np.concatenate(contexts, axis=-1) @ w["output_kernel"], np.mean(weights, axis=0)


MECHANISMS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "Attention": attention,
    "SeveralAttentions": several,
    "MultiHeadAttention": multi_head,
}
