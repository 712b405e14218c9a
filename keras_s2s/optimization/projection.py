"""The output layer and its cross-entropy together, over real tokens only.

The product with the vocabulary is the largest of a training step, and its result the largest
tensor. So padding is taken out before it, the logits live no longer than one pass over them, and
what metrics need comes of that same pass. On the TensorFlow backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_s2s.optimization.candidate_sampling import Candidates


class TokenSums(NamedTuple):
    """Sums over the real tokens of a batch, each token times its weight. Scalars, float32."""

    objective: Any  # what is trained on; the only one that gradients flow through
    entropy: Any  # cross-entropy; None where not all logits were made
    hits: Any  # one where the most probable token is the label; None likewise
    count: Any  # one


def projected_sums(
    hidden: Any,
    kernel: Any,
    bias: Any,
    labels: Any,
    weights: Any,
    label_smoothing: float = 0.0,
    agreement: float = 0.0,
) -> TokenSums:
    """Projects the rows whose weight is not zero, and sums what training wants of their logits.

    ```
    z = hidden·kernel + bias,   p = softmax(z),   entropy = −log p[label]
    objective = entropy + ε·(z[label] − mean z)
    ∂/∂z = weight·(p − (1 − ε)·onehot(label) − ε/V)
    ```

    With an agreement α, the second half of the batch is the first again, seen with other dropout;
    `p` of a token in one half and `q` of the same in the other are drawn together:

    ```
    objective += α/4·(KL(p ‖ q) + KL(q ‖ p))   in each half
    ∂/∂z += weight·α/2·(p·(log p − log q − KL(p ‖ q)) + p − q)
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
        agreement: α, see `RegularizedDropout`; labels and weights of the halves must be the same.

    Example: two tokens and a padding, all logits equal, so each token costs log 4.
    >>> import numpy as np
    >>> hidden, kernel = np.zeros((1, 3, 2), "float32"), np.ones((2, 4), "float32")
    >>> labels, weights = np.array([[1, 2, 0]]), np.array([[1, 1, 0]], "float32")
    >>> sums = projected_sums(hidden, kernel, None, labels, weights)
    >>> round(float(sums.entropy / sums.count), 4)
    1.3863
    """
    rows, labels, weights = _real(hidden, labels, weights)

    def run(rows: Any, kernel: Any, *bias: Any) -> Any:
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
        if agreement:
            ratios = _ratios(logits, normalizer)  # log p − log q, of each half (N/2, V)
            divergences = _divergences(probabilities, ratios)  # KL(p ‖ q) of each half, (N,)
            objective += agreement / 4 * (divergences + _swapped(divergences))

        def grad(*upstream: Any, **_: Any) -> Any:
            scale = ops.expand_dims(weights * upstream[0], -1)  # (N, 1)
            d_logits = probabilities * scale
            if label_smoothing:
                d_logits = d_logits - scale * (label_smoothing / logits.shape[-1])
            if agreement:
                d_logits += agreement / 2 * scale * _apart(probabilities, ratios, divergences)
            d_logits = _add_at(d_logits, labels, (label_smoothing - 1) * scale[:, 0])
            d_logits = ops.cast(d_logits, kernel.dtype)
            d_rows = ops.matmul(d_logits, ops.transpose(kernel))
            d_bias = (_column_sums(d_logits),) if bias else ()
            d_kernel = ops.matmul(ops.transpose(rows), d_logits)
            return (d_rows, d_kernel, *d_bias)

        sums = (ops.sum(each * weights) for each in (objective, entropy, hits))
        return tuple(sums), grad

    arguments = (rows, ops.convert_to_tensor(kernel)) + (() if bias is None else (bias,))
    objective, entropy, hits = ops.custom_gradient(run)(*arguments)
    return TokenSums(objective, entropy, hits, ops.sum(weights))


def sampled_sums(
    hidden: Any,
    output_columns: Callable[[Any], tuple[Any, Any]],
    labels: Any,
    weights: Any,
    candidates: Candidates,
) -> TokenSums:
    """As `projected_sums`, with logits of the label and of candidates alone.

    ```
    u[v] = hidden·kernel[:, v] + bias[v] − log expected[v]
    objective = log(e^u[label] + Σ e^u[c]) − u[label],   c over the candidates other than the label
    ```

    Args:
        hidden: `(B, T, W)`, what the logits come from.
        output_columns: ids `(N,)` to columns `(W, N)` of the kernel and biases `(N,)`, or None.
        labels: `(B, T)` int.
        weights: `(B, T)` float32; a token of weight zero is left out.
        candidates: `Candidates` of the vocabulary.

    Example: two of four ids and the label, all expected once, with equal logits: log 3.
    >>> import numpy as np
    >>> kernel = np.ones((2, 4), "float32")
    >>> candidates = Candidates(np.array([0, 3]), np.zeros(4, "float32"))
    >>> sums = sampled_sums(
    ...     np.zeros((1, 2, 2), "float32"),
    ...     lambda ids: (kernel[:, ids], None),
    ...     np.array([[1, 0]]),
    ...     np.array([[1, 0]], "float32"),
    ...     candidates,
    ... )
    >>> round(float(sums.objective), 4)
    1.0986
    """
    rows, labels, weights = _real(hidden, labels, weights)
    ids = ops.cast(candidates.ids, "int32")
    count = ops.shape(ids)[0]
    both = ops.concatenate([ids, labels])  # one gather, and one gradient of the kernel
    kernel, bias = output_columns(both)  # (W, C + N), (C + N,)
    shift = -ops.take(candidates.log_expected, both)
    if bias is not None:
        shift = shift + ops.cast(bias, "float32")
    logits = ops.cast(ops.matmul(rows, kernel[:, :count]), "float32") + shift[:count]  # (N, C)
    # The label has a column of its own: among the candidates it would count twice.
    lowest = float(np.finfo("float32").min)
    again = ops.equal(ops.expand_dims(labels, -1), ids)
    logits = ops.where(again, lowest, logits)
    of_labels = ops.cast(rows, "float32") * ops.cast(ops.transpose(kernel[:, count:]), "float32")
    own = ops.sum(of_labels, axis=-1) + shift[count:]  # (N,)
    entropy = ops.sparse_categorical_crossentropy(
        ops.zeros_like(labels),
        ops.concatenate([ops.expand_dims(own, -1), logits], axis=-1),
        from_logits=True,
    )
    return TokenSums(ops.sum(entropy * weights), None, None, ops.sum(weights))


def _real(hidden: Any, labels: Any, weights: Any) -> tuple[Any, Any, Any]:
    """What has a weight, of `(B, T, W)` and two `(B, T)`: `(N, W)`, labels and weights `(N,)`."""
    weights = ops.reshape(ops.convert_to_tensor(weights, "float32"), (-1,))
    places = ops.nonzero(weights)[0]  # (N,)
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    rows = _rows(ops.convert_to_tensor(hidden), places)
    return rows, ops.take(labels, places), ops.take(weights, places)


def _rows(hidden: Any, places: Any) -> Any:
    """The rows at some of B·T places: `(B, T, W)` and `(N,)` to `(N, W)`."""
    width = hidden.shape[-1]

    def run(hidden: Any) -> Any:
        def grad(d_rows: Any, **_: Any) -> Any:
            flat = (ops.shape(hidden)[0] * ops.shape(hidden)[1], width)
            d_hidden = ops.scatter(ops.expand_dims(places, -1), d_rows, flat)
            return ops.reshape(d_hidden, ops.shape(hidden))

        return ops.take(ops.reshape(hidden, (-1, width)), places, axis=0), grad

    return ops.custom_gradient(run)(hidden)


def _ratios(logits: Any, normalizer: Any) -> Any:
    """The logarithm of p/q, for the tokens of the first half: `(N, V)` and `(N,)` to `(N/2, V)`."""
    first, second = ops.split(logits, 2)
    p, q = ops.split(normalizer, 2)
    return (first - second) - ops.expand_dims(p - q, -1)


def _divergences(probabilities: Any, ratios: Any) -> Any:
    """KL of each token from the same of the other half: `(N, V)` and `(N/2, V)` to `(N,)`."""
    p, q = ops.split(probabilities, 2)
    return ops.concatenate([ops.sum(p * ratios, axis=-1), -ops.sum(q * ratios, axis=-1)])


def _apart(probabilities: Any, ratios: Any, divergences: Any) -> Any:
    """The gradient of KL(p ‖ q) + KL(q ‖ p) by the logits of each half: `(N, V)`."""
    p, q = ops.split(probabilities, 2)
    of_p, of_q = ops.split(ops.expand_dims(divergences, -1), 2)
    away = p - q
    return ops.concatenate([p * (ratios - of_p) + away, -q * (ratios + of_q) - away])


def _swapped(x: Any) -> Any:
    """The halves of `(N,)` in the other order."""
    first, second = ops.split(x, 2)
    return ops.concatenate([second, first])


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
