"""Predictions, which hold the model's logits for the next token, and a fast `top_k`."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

# Number of columns that share a maximum. Of the sizes that were measured for several vocabularies
# and widths, 64 was the fastest.
CHUNK = 64


class Prediction(NamedTuple):
    """The logits for the next token of each hypothesis.

    Attributes:
        logits: `(R, V)` float32.
        normalizer: `(R, 1)` float32, the log-sum-exp of the logits.
        values: `(R, V)` float32, the logits that the search chooses by, with the same normaliser;
            `()` if it chooses by the model's logits.
        weights: `(R, S)` float32 attention weights, or `()`.
    """

    logits: Any
    normalizer: Any
    values: Any
    weights: Any

    def log_probs(self, tokens: Any) -> Any:
        """Returns the model's log-probabilities of `(R, k)` tokens, `(R, k)` float32."""
        return ops.take_along_axis(self.logits, tokens, axis=-1) - self.normalizer

    def chosen_by(self, tokens: Any) -> Any:
        """Returns the log-probabilities that the search chooses `(R, k)` tokens by."""
        if isinstance(self.values, tuple):
            return self.log_probs(tokens)
        return ops.take_along_axis(self.values, tokens, axis=-1) - self.normalizer


def predict(logits: Any, weights: Any) -> Prediction:
    """Makes a prediction from the output of a step. The search chooses by the model's own logits.

    Args:
        logits: `(R, V)` of any float dtype.
        weights: `(R, S)` attention weights, or `()`.
    """
    logits = ops.cast(logits, "float32")
    normalizer = ops.logsumexp(logits, axis=-1, keepdims=True)
    if not isinstance(weights, tuple):
        weights = ops.cast(weights, "float32")
    return Prediction(logits, normalizer, (), weights)


def largest(x: Any, count: int) -> tuple[Any, Any]:
    """Computes `ops.top_k` of `(R, V)`, several times faster on TensorFlow's CPU kernels.

    TensorFlow (2.21) reads a row one number at a time for `top_k`, and many at a time for a
    maximum. Therefore:

    1. Take the maximum of every chunk of 64 columns.
    2. Choose the `count` chunks with the largest maxima. They hold the `count` largest numbers,
       because a number in another chunk is at most as large as each of these `count` maxima.
    3. Choose the `count` largest numbers of these chunks, with the chunks in the order of their
       columns. Of equal numbers the first comes first, as in `ops.top_k`. Only Torch promises no
       order.

    Args:
        x: `(R, V)` float32.
        count: the number of values to find.

    Returns:
        Values and int32 columns, `(R, count)` each, the largest first.
    """
    size = x.shape[-1]
    # For one number `top_k` is a maximum already. Torch takes no maximum of an array without rows.
    if size is None or count == 1 or size < 4 * CHUNK * count or x.shape[0] == 0:
        values, places = ops.top_k(x, count)
        return values, ops.cast(places, "int32")
    chunks = -(-size // CHUNK)
    if chunks * CHUNK > size:
        x = ops.pad(x, ((0, 0), (0, chunks * CHUNK - size)), constant_values=-float("inf"))
    x = ops.reshape(x, (-1, chunks, CHUNK))
    _, best = ops.top_k(ops.max(x, axis=-1), count)
    # The columns are sorted in rising order as floats, because tf2onnx (1.17) converts no TopK of
    # integers, and float32 is exact up to 2^24.
    best = ops.cast(-ops.top_k(-ops.cast(best, "float32"), count)[0], "int32")  # (R, count)
    first = ops.arange(ops.shape(x)[0], dtype="int32")[:, None] * chunks
    within = ops.take(ops.reshape(x, (-1, CHUNK)), first + best, axis=0)  # (R, count, CHUNK)
    values, places = ops.top_k(ops.reshape(within, (-1, count * CHUNK)), count)
    places = ops.cast(places, "int32")
    columns = ops.take_along_axis(best, places // CHUNK, axis=-1) * CHUNK + places % CHUNK
    # If fewer than `count` logits are above -inf, a column of padding may be among them.
    return values, ops.minimum(ops.cast(columns, "int32"), size - 1)
