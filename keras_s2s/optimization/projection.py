"""The output layer and its cross-entropy as one computation over real tokens.

The product with the output kernel is the largest product of a training step, and the logits are its
largest tensor. So padding is removed before the product, the logits are freed after one pass over
them, and that pass also computes what the metrics need. All of this runs on the TensorFlow backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_s2s.optimization.candidate_sampling import Candidates


class TokenSums(NamedTuple):
    """Weighted sums over the real tokens of a batch, each a float32 scalar."""

    objective: Any  # sum of the values that training minimises; only this sum has a gradient
    entropy: Any  # sum of the cross-entropies; None if not all logits were computed
    hits: Any  # sum over tokens whose most probable id is the label; None likewise
    count: Any  # sum of the weights


def projected_sums(
    hidden: Any,
    kernel: Any,
    bias: Any,
    labels: Any,
    weights: Any,
    label_smoothing: float = 0.0,
    agreement: float = 0.0,
) -> TokenSums:
    """Projects the rows of real tokens to logits, and sums their losses and metrics.

    ```
    z = hidden·kernel + bias,   p = softmax(z),   entropy = −log p[label]
    objective = entropy + ε·(z[label] − mean z)
    ∂/∂z = weight·(p − (1 − ε)·onehot(label) − ε/V)
    ```

    If there is an agreement α, the second half of the batch repeats the first half with different
    dropout. The distribution `p` of a token in one half and the distribution `q` of the same token
    in the other half are drawn towards each other:

    ```
    objective += α/4·(KL(p ‖ q) + KL(q ‖ p))   in each half
    ∂/∂z += weight·α/2·(p·(log p − log q − KL(p ‖ q)) + p − q)
    ```

    The gradient is a function of its own that needs only `p`, so that the memory of `z` is free at
    once. Softmax and sums are computed in float32, whatever the dtype of the products. The number
    of real tokens is known only when the graph runs, so XLA cannot compile this function.

    Args:
        hidden: outputs of the decoder `(B, T, W)`, which are projected.
        kernel: kernel of the output layer `(W, V)`, in the dtype of `hidden`.
        bias: bias of the output layer `(V,)` in the same dtype, or None.
        labels: `(B, T)` whole numbers.
        weights: `(B, T)` float32. A token of weight zero is left out.
        label_smoothing: the smoothed mass ε of `TokenCrossEntropy`.
        agreement: the weight α of `RegularizedDropout`, or 0 for one pass. Both halves of the batch
            must have the same labels and weights.

    Returns:
        `TokenSums`.

    Example: with two tokens, one padding and equal logits, each token costs log 4.
    >>> import numpy as np
    >>> hidden, kernel = np.zeros((1, 3, 2), "float32"), np.ones((2, 4), "float32")
    >>> labels, weights = np.array([[1, 2, 0]]), np.array([[1, 1, 0]], "float32")
    >>> sums = projected_sums(hidden, kernel, None, labels, weights)
    >>> round(float(sums.entropy / sums.count), 4)
    1.3863
    """
    rows, labels, weights = _real_tokens(hidden, labels, weights)

    def run(rows: Any, kernel: Any, *bias: Any) -> Any:
        logits = ops.matmul(rows, kernel)  # (N, V)
        logits = ops.cast(logits + bias[0] if bias else logits, "float32")
        # Like ops.argmax, top_k takes the first of equal logits. In Keras 3.15, ops.argmax makes
        # five passes over the logits before, for the sake of -0.0.
        largest, best = ops.top_k(logits, 1)
        best = ops.cast(best, labels.dtype)[:, 0]
        probabilities = ops.softmax(logits, axis=-1)
        chosen = _at(logits, labels)
        # log Σ exp z by way of the largest logit needs no further pass, and is exact even where
        # p[label] is small.
        normalizer = largest[:, 0] - ops.log(_at(probabilities, best))
        entropy = normalizer - chosen
        objective = entropy
        if label_smoothing:
            objective = entropy + label_smoothing * (chosen - ops.mean(logits, axis=-1))
        hits = ops.cast(ops.equal(best, labels), "float32")
        if agreement:
            ratios = _log_ratios(logits, normalizer)  # log p − log q (N/2, V)
            divergences = _divergences(probabilities, ratios)  # (N,)
            objective += agreement / 4 * (divergences + _swapped(divergences))

        def grad(*upstream: Any, **_: Any) -> Any:
            scale = ops.expand_dims(weights * upstream[0], -1)  # (N, 1)
            d_logits = probabilities * scale
            if label_smoothing:
                d_logits = d_logits - scale * (label_smoothing / logits.shape[-1])
            if agreement:
                d_logits += (
                    agreement / 2 * scale * _divergence_gradient(probabilities, ratios, divergences)
                )
            d_logits = _add_at(d_logits, labels, (label_smoothing - 1) * scale[:, 0])
            d_logits = ops.cast(d_logits, kernel.dtype)
            d_rows = ops.matmul(d_logits, ops.transpose(kernel))
            d_bias = (_column_sums(d_logits),) if bias else ()
            d_kernel = ops.matmul(ops.transpose(rows), d_logits)
            return (d_rows, d_kernel, *d_bias)

        sums = (ops.sum(values * weights) for values in (objective, entropy, hits))
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
    """Sums a loss like that of `projected_sums` over logits of the labels and of candidates only.

    ```
    u[v] = hidden·kernel[:, v] + bias[v] − log expected[v]
    objective = log(e^u[label] + Σ e^u[c]) − u[label],   c over the candidates other than the label
    ```

    Args:
        hidden: outputs of the decoder `(B, T, W)`, which are projected.
        output_columns: function from ids `(N,)` to the columns `(W, N)` of the output kernel and
            their biases `(N,)`, or None in place of the biases.
        labels: `(B, T)` whole numbers.
        weights: `(B, T)` float32. A token of weight zero is left out.
        candidates: ids that were drawn from the vocabulary.

    Returns:
        `TokenSums` without `entropy` and `hits`, which need all logits.

    Example: the label and two of four ids, all expected once, with equal logits cost log 3.
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
    rows, labels, weights = _real_tokens(hidden, labels, weights)
    ids = ops.cast(candidates.ids, "int32")
    count = ops.shape(ids)[0]
    # Candidates and labels are gathered together, so that the kernel has only one gradient.
    columns = ops.concatenate([ids, labels])  # (C + N,)
    kernel, bias = output_columns(columns)  # (W, C + N), (C + N,)
    shift = -ops.take(candidates.log_expected, columns)
    if bias is not None:
        shift = shift + ops.cast(bias, "float32")
    logits = ops.cast(ops.matmul(rows, kernel[:, :count]), "float32") + shift[:count]  # (N, C)
    # The label has a column of its own. It must not count again as one of the candidates.
    lowest = float(np.finfo("float32").min)
    is_label = ops.equal(ops.expand_dims(labels, -1), ids)  # (N, C)
    logits = ops.where(is_label, lowest, logits)
    products = ops.cast(rows, "float32") * ops.cast(ops.transpose(kernel[:, count:]), "float32")
    label_logits = ops.sum(products, axis=-1) + shift[count:]  # (N,)
    entropy = ops.sparse_categorical_crossentropy(
        ops.zeros_like(labels),
        ops.concatenate([ops.expand_dims(label_logits, -1), logits], axis=-1),
        from_logits=True,
    )
    return TokenSums(ops.sum(entropy * weights), None, None, ops.sum(weights))


def _real_tokens(hidden: Any, labels: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Returns rows `(N, W)`, labels `(N,)` and weights `(N,)` of the N tokens with a weight."""
    weights = ops.reshape(ops.convert_to_tensor(weights, "float32"), (-1,))
    places = ops.nonzero(weights)[0]  # (N,)
    labels = ops.reshape(ops.cast(labels, "int32"), (-1,))
    rows = _rows(ops.convert_to_tensor(hidden), places)
    return rows, ops.take(labels, places), ops.take(weights, places)


def _rows(hidden: Any, places: Any) -> Any:
    """Returns the rows `(N, W)` at N of the B·T places of `hidden`, `(B, T, W)`."""
    width = hidden.shape[-1]

    def run(hidden: Any) -> Any:
        def grad(d_rows: Any, **_: Any) -> Any:
            flat = (ops.shape(hidden)[0] * ops.shape(hidden)[1], width)
            d_hidden = ops.scatter(ops.expand_dims(places, -1), d_rows, flat)
            return ops.reshape(d_hidden, ops.shape(hidden))

        return ops.take(ops.reshape(hidden, (-1, width)), places, axis=0), grad

    return ops.custom_gradient(run)(hidden)


def _log_ratios(logits: Any, normalizer: Any) -> Any:
    """Returns log p − log q, `(N/2, V)`, for p of the first half and q of the second half."""
    first, second = ops.split(logits, 2)
    p, q = ops.split(normalizer, 2)
    return (first - second) - ops.expand_dims(p - q, -1)


def _divergences(probabilities: Any, ratios: Any) -> Any:
    """Returns KL(p ‖ q) of the tokens in the first half, then KL(q ‖ p) of the second, `(N,)`."""
    p, q = ops.split(probabilities, 2)
    return ops.concatenate([ops.sum(p * ratios, axis=-1), -ops.sum(q * ratios, axis=-1)])


def _divergence_gradient(probabilities: Any, ratios: Any, divergences: Any) -> Any:
    """Returns the gradient of KL(p ‖ q) + KL(q ‖ p) by the logits of both halves, `(N, V)`."""
    p, q = ops.split(probabilities, 2)
    of_p, of_q = ops.split(ops.expand_dims(divergences, -1), 2)
    away = p - q
    return ops.concatenate([p * (ratios - of_p) + away, -q * (ratios + of_q) - away])


def _swapped(x: Any) -> Any:
    """Returns `x (N,)` with its halves in the other order."""
    first, second = ops.split(x, 2)
    return ops.concatenate([second, first])


def _at(x: Any, ids: Any) -> Any:
    """Returns one entry of each row of `x (N, V)`, at `ids (N,)`: `(N,)`."""
    return ops.take_along_axis(x, ids[:, None], axis=-1)[:, 0]


def _add_at(x: Any, ids: Any, values: Any) -> Any:
    """Adds `values (N,)` to the entries of `x (N, V)` at `ids (N,)`, in the memory of `x`."""
    import tensorflow as tf

    # The operation of keras.ops would copy all of `x` first.
    indices = ops.stack([ops.arange(ops.shape(ids)[0], dtype=ids.dtype), ids], 1)
    return tf.raw_ops.ScatterNdNonAliasingAdd(input=x, indices=indices, updates=values)


def _column_sums(rows: Any) -> Any:
    # A product with ones is twice as fast as TensorFlow's sum over the first axis.
    ones = ops.ones((1, ops.shape(rows)[0]), dtype=rows.dtype)
    return ops.matmul(ones, rows)[0]
