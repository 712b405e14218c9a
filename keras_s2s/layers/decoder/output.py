"""The output layer of a decoder, which computes logits with its own matrix or a tied embedding.

Some losses multiply hidden vectors with the matrix themselves. For these losses, both kinds of
output layer return their matrix, or some columns of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops


@dataclass(frozen=True)
class DenseOutput:
    """Computes logits `hidden·W + b` with a `Dense` layer of the decoder."""

    layer: keras.layers.Dense

    def __call__(self, hidden: Any) -> Any:
        """Computes logits `(…, V)` from hidden vectors `(…, W)`."""
        return self.layer(hidden)

    def weights(self) -> tuple[Any, Any]:
        """Returns the kernel `(W, V)` and the bias `(V,)`, or None, in the compute dtype."""
        return _cast(self.layer.kernel, self.layer.bias, self.layer.compute_dtype)

    def columns(self, ids: Any) -> tuple[Any, Any]:
        """Returns the columns of some ids `(N,)`: kernel `(W, N)` and bias `(N,)`, or None."""
        bias = None if self.layer.bias is None else ops.take(self.layer.bias, ids)
        return _cast(columns(self.layer.kernel, ids), bias, self.layer.compute_dtype)


@dataclass(frozen=True)
class TiedOutput:
    """Computes logits `hidden·tableᵀ + b` with an embedding as matrix (Press & Wolf 2017).

    Attributes:
        embedding: the embedding, whose table is `(V, W)`; it may belong to another layer.
        bias: the weight `(V,)`, or None.
        dtype: the dtype of the product.
    """

    embedding: keras.layers.Embedding
    bias: Any
    dtype: str

    def __call__(self, hidden: Any) -> Any:
        """Computes logits `(…, V)` from hidden vectors `(…, W)`."""
        table = ops.cast(self.embedding.embeddings, self.dtype)
        logits = ops.matmul(ops.cast(hidden, self.dtype), ops.transpose(table))
        return logits if self.bias is None else logits + ops.cast(self.bias, logits.dtype)

    def weights(self) -> tuple[Any, Any]:
        """Returns the kernel `(W, V)` and the bias `(V,)`, or None, in the compute dtype."""
        return _cast(ops.transpose(self.embedding.embeddings), self.bias, self.dtype)

    def columns(self, ids: Any) -> tuple[Any, Any]:
        """Returns the columns of some ids `(N,)`: kernel `(W, N)` and bias `(N,)`, or None."""
        kernel = ops.transpose(ops.take(self.embedding.embeddings, ids, axis=0))
        return _cast(kernel, None if self.bias is None else ops.take(self.bias, ids), self.dtype)


def check_tied_width(width: int, embedding_size: int) -> None:
    """Raises ValueError unless the hidden vectors are as wide as the embedding they are tied to."""
    if width != embedding_size:
        raise ValueError(
            "`tied_embedding` needs hidden vectors as wide as the embedding; "
            f"got a width of {width}, embedding_size={embedding_size}. Set "
            "`attention_size` or `units` to embedding_size."
        )


def _cast(kernel: Any, bias: Any, dtype: str) -> tuple[Any, Any]:
    return ops.cast(kernel, dtype), None if bias is None else ops.cast(bias, dtype)


def columns(kernel: Any, ids: Any) -> Any:
    """Takes columns of a matrix, each as often as it is named: `(W, V)` and `(N,)` to `(W, N)`.

    The gradient makes one tensor `(W, V)`. TensorFlow's own gradient would make two, one of them
    transposed.

    Example:
    >>> columns([[1, 2, 3], [4, 5, 6]], [2, 0]).numpy().tolist()
    [[3, 1], [6, 4]]
    """
    kernel, ids = ops.convert_to_tensor(kernel), ops.convert_to_tensor(ids)
    width, size = kernel.shape

    def run(kernel: Any) -> Any:
        def grad(d_columns: Any, **_: Any) -> Any:
            starts = ops.arange(0, width * size, size, dtype="int64")
            flat = ops.expand_dims(starts, -1) + ops.cast(ids, "int64")  # (W, N)
            d_kernel = ops.segment_sum(
                ops.reshape(d_columns, (-1,)), ops.reshape(flat, (-1,)), width * size
            )
            return ops.reshape(d_kernel, (width, size))

        return ops.take(kernel, ids, axis=1), grad

    return ops.custom_gradient(run)(kernel)
