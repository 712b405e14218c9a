"""The output layer and its cross-entropy together, over real tokens only.

The product with the vocabulary is the largest of a training step, and its result the largest
tensor. So padding is taken out before it, the logits live no longer than one pass over them, and
what metrics need comes of that same pass. On the TensorFlow backend.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops


class TokenSums(NamedTuple):
    """Sums over the real tokens of a batch, each token times its weight. Scalars, float32."""

    objective: Any  # cross-entropy with label smoothing; the only one that gradients flow through
    entropy: Any  # cross-entropy
    hits: Any  # one where the most probable token is the label
    count: Any  # one


def projected_sums(
    hidden: Any, kernel: Any, bias: Any, labels: Any, weights: Any, label_smoothing: float = 0.0
) -> TokenSums:
    """Projects the rows whose weight is not zero, and sums what training wants of their logits.

    ```
    z = hidden·kernel + bias,   p = softmax(z),   entropy = −log p[label]
    objective = entropy + ε·(z[label] − mean z)
    ∂/∂z = weight·(p − (1 − ε)·onehot(label) − ε/V)
    ```

    The gradient is written out: it needs `p` alone, so that `z` goes at once. Softmax and sums are
    float32, whatever the products are in. How many rows are left is known only when the graph runs,
    so XLA cannot compile this.

    Args:
        hidden: `(B, T, W)`, what the logits come from.
        kernel: `(W, V)`, in the dtype of `hidden`.
        bias: `(V,)` in that dtype, or None.
        labels: `(B, T)` int.
        weights: `(B, T)` float32; a token of weight zero is left out.
        label_smoothing: ε, see `TokenCrossEntropy`.

    Example: two tokens and a padding, all logits equal, so each token costs log 4.
    >>> import numpy as np
    >>> hidden, kernel = np.zeros((1, 3, 2), "float32"), np.ones((2, 4), "float32")
    >>> labels, weights = np.array([[1, 2, 0]]), np.array([[1, 1, 0]], "float32")
    >>> sums = projected_sums(hidden, kernel, None, labels, weights)
    >>> round(float(sums.entropy / sums.count), 4)
    1.3863
    """
    hidden = ops.convert_to_tensor(hidden)
    weights = ops.reshape(ops.convert_to_tensor(weights, "float32"), (-1,))
    places = ops.nonzero(weights)[0]  # (N,)
    weights = ops.take(weights, places)
    labels = ops.take(ops.reshape(ops.convert_to_tensor(labels), (-1,)), places)
    weight = ops.expand_dims(weights, -1)  # (N, 1)

    def run(hidden: Any, kernel: Any, *bias: Any) -> Any:
        width = hidden.shape[-1]
        rows = ops.take(ops.reshape(hidden, (-1, width)), places, axis=0)  # (N, W)
        logits = ops.matmul(rows, kernel)  # (N, V)
        logits = ops.cast(logits + bias[0] if bias else logits, "float32")
        # Not ops.argmax: for the sake of -0.0, Keras 3.15 makes five passes over them before.
        largest, best = ops.top_k(logits, 1)  # the first of equals, as argmax
        best = ops.cast(best, labels.dtype)[:, 0]
        probabilities = ops.softmax(logits, axis=-1)
        chosen = _at(logits, labels)
        # log Σ exp z, from the largest of each: no further pass, and exact for small p[label].
        normalizer = largest[:, 0] - ops.log(_at(probabilities, best))
        entropy = normalizer - chosen
        objective = entropy
        if label_smoothing:
            objective = entropy + label_smoothing * (chosen - ops.mean(logits, axis=-1))
        hits = ops.cast(ops.equal(best, labels), "float32")

        def grad(*upstream: Any, **_: Any) -> Any:
            scale = weight * upstream[0]
            d_logits = probabilities * scale
            if label_smoothing:
                d_logits = d_logits - scale * (label_smoothing / logits.shape[-1])
            d_logits = _add_at(d_logits, labels, (label_smoothing - 1) * scale[:, 0])
            d_logits = ops.cast(d_logits, kernel.dtype)
            d_rows = ops.matmul(d_logits, ops.transpose(kernel))
            flat = (ops.shape(hidden)[0] * ops.shape(hidden)[1], width)
            d_hidden = ops.scatter(ops.expand_dims(places, -1), d_rows, flat)
            d_bias = (_column_sums(d_logits),) if bias else ()
            d_kernel = ops.matmul(ops.transpose(rows), d_logits)
            return (ops.reshape(d_hidden, ops.shape(hidden)), d_kernel, *d_bias)

        sums = (ops.sum(each * weights) for each in (objective, entropy, hits))
        return tuple(sums), grad

    arguments = (hidden, ops.convert_to_tensor(kernel)) + (() if bias is None else (bias,))
    objective, entropy, hits = ops.custom_gradient(run)(*arguments)
    return TokenSums(objective, entropy, hits, ops.sum(weights))


def _at(x: Any, ids: Any) -> Any:
    """The entry of each row: `(N, V)` and `(N,)` to `(N,)`."""
    return ops.take_along_axis(x, ids[:, None], axis=-1)[:, 0]


def _add_at(x: Any, ids: Any, values: Any) -> Any:
    """`x (N, V)` with `values (N,)` added to the entry of each row, in the memory of `x`."""
    import tensorflow as tf

    # What keras.ops has for it copies all of `x` first.
    indices = ops.stack([ops.arange(ops.shape(ids)[0], dtype=ids.dtype), ids], 1)
    return tf.raw_ops.ScatterNdNonAliasingAdd(input=x, indices=indices, updates=values)


def _column_sums(rows: Any) -> Any:
    # A product: twice as fast as TensorFlow's sum over the first axis.
    ones = ops.ones((1, ops.shape(rows)[0]), dtype=rows.dtype)
    return ops.matmul(ones, rows)[0]
