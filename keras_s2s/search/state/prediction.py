"""Predictions: what a step says of the next token, and the largest of many logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

# Logits that share a maximum. Of the vocabularies and widths measured, 64 cost least.
CHUNK = 64


class Prediction(NamedTuple):
    """What a step says of the next token.

    Attributes:
        logits: `(R, V)` float32.
        normalizer: `(R, 1)` float32, their log-sum-exp.
        values: `(R, V)` float32, logits to choose by under controls, with the same normaliser; or
            `()` where they are the model's.
        weights: `(R, S)` float32, or `()`.
    """

    logits: Any
    normalizer: Any
    values: Any
    weights: Any

    def log_probs(self, tokens: Any) -> Any:
        """Of `(R, k)` tokens, as the model has them."""
        return ops.take_along_axis(self.logits, tokens, axis=-1) - self.normalizer

    def chosen_by(self, tokens: Any) -> Any:
        """Of `(R, k)` tokens, as the search is to see them."""
        if isinstance(self.values, tuple):
            return self.log_probs(tokens)
        return ops.take_along_axis(self.values, tokens, axis=-1) - self.normalizer


def largest(x: Any, count: int) -> tuple[Any, Any]:
    """`ops.top_k` of `(R, V)`, several times faster for many columns on TensorFlow's CPU kernels.

    TensorFlow (2.21) takes the top k of a row number by number, and its maximum many at a time. So:

    1. The maximum of every chunk of 64 columns.
    2. The `count` chunks of the largest maxima: outside of them there are `count` numbers, those
       maxima, that are as large as any, so the largest are within.
    3. The `count` largest of what is in these chunks, in the order of their columns, so that of
       equals the first come first, as in `top_k` (but on Torch, which promises no order of them).

    Args:
        x: `(R, V)` float32.
        count: how many.

    Returns:
        Values and int32 columns, `(R, count)` each, in falling order.
    """
    size = x.shape[-1]
    # One number needs no help: for it, `top_k` is a maximum. No rows have no maximum on Torch.
    if size is None or count == 1 or size < 4 * CHUNK * count or x.shape[0] == 0:
        values, places = ops.top_k(x, count)
        return values, ops.cast(places, "int32")
    chunks = -(-size // CHUNK)
    if chunks * CHUNK > size:
        x = ops.pad(x, ((0, 0), (0, chunks * CHUNK - size)), constant_values=-float("inf"))
    x = ops.reshape(x, (-1, chunks, CHUNK))
    _, best = ops.top_k(ops.max(x, axis=-1), count)
    # In rising order; floats, since tf2onnx (1.17) has TopK of no integers, and exact to 2^24.
    best = ops.cast(-ops.top_k(-ops.cast(best, "float32"), count)[0], "int32")  # (R, count)
    first = ops.arange(ops.shape(x)[0], dtype="int32")[:, None] * chunks
    within = ops.take(ops.reshape(x, (-1, CHUNK)), first + best, axis=0)  # (R, count, CHUNK)
    values, places = ops.top_k(ops.reshape(within, (-1, count * CHUNK)), count)
    places = ops.cast(places, "int32")
    columns = ops.take_along_axis(best, places // CHUNK, axis=-1) * CHUNK + places % CHUNK
    # Where fewer than `count` logits are above -inf, padding may be among them.
    return values, ops.minimum(ops.cast(columns, "int32"), size - 1)
