"""Merges requests into one batch by the rules of TensorFlow Serving, over any session.

The rules follow `BatchingSession` of tensorflow/serving (batching/batching_session.cc,
batching_util.cc at 2.20.0), including its errors and its padding. Time plays no part here; the
caller says which requests meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.configuration import BATCH_SIZES
from keras_s2s.export.serving.process import Servable

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9

Arrays = Mapping[str, np.ndarray]


class Batcher:
    """Runs the requests that meet in one batch, and returns to each its part of the outputs.

    Args:
        session: the session that runs a batch.
        allowed_batch_sizes: the sizes of batches in rising order; a batch is filled up to the next
            one.
        pad_variable_length_inputs: whether requests of unequal shapes may meet; the shorter ones
            are padded at their ends with their own first element.
    """

    def __init__(
        self,
        session: Servable,
        allowed_batch_sizes: Sequence[int] = BATCH_SIZES,
        *,
        pad_variable_length_inputs: bool = True,
    ) -> None:
        self.session = session
        self.allowed_batch_sizes = tuple(allowed_batch_sizes)
        self.pad_variable_length_inputs = pad_variable_length_inputs

    def run(self, signature: str, requests: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
        """Runs the requests that met, and returns the outputs of each.

        Raises:
            StatusError: If a server would refuse the batch; the error is the answer to all its
            requests.
        """
        sizes = [batch_size(request) for request in requests]
        rows = sum(sizes)
        if rows > self.allowed_batch_sizes[-1]:
            raise StatusError(
                INVALID_ARGUMENT,
                f"Task size {rows} is larger than maximum input batch size "
                f"{self.allowed_batch_sizes[-1]}",
            )
        filled = next(size for size in self.allowed_batch_sizes if size >= rows)
        outputs = self.session.run(signature, self._merged(requests, filled - rows))
        for array in outputs.values():
            if array.ndim == 0:
                raise StatusError(FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
            if array.shape[0] != filled:
                raise StatusError(
                    FAILED_PRECONDITION,
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors",
                )
        ends = np.cumsum(sizes)
        return [
            {name: array[end - size : end] for name, array in outputs.items()}
            for size, end in zip(sizes, ends, strict=True)
        ]

    def _merged(self, requests: Sequence[Arrays], missing: int) -> dict[str, np.ndarray]:
        merged = {}
        for name in requests[0]:
            arrays = [request[name] for request in requests]
            shapes = {array.shape[1:] for array in arrays}
            if self.pad_variable_length_inputs:
                longest = np.max([array.shape for array in arrays], axis=0)
                arrays = [padded(array, longest.tolist()) for array in arrays]
            elif len(shapes) > 1:
                raise StatusError(
                    FAILED_PRECONDITION,
                    f"Tensors with name '{name}' from different tasks have different shapes and "
                    "padding is turned off.",
                )
            # The rows that fill up the batch are copies of the first row of the last request.
            merged[name] = np.concatenate([*arrays, *[arrays[-1][:1]] * missing])
        return merged


def batch_size(request: Arrays) -> int:
    """Returns the number of rows of a request.

    Raises:
        StatusError: If its inputs have different numbers of rows, or one is a scalar.
    """
    if any(array.ndim == 0 for array in request.values()):
        raise StatusError(
            INVALID_ARGUMENT, "Batching input tensors must have at least one dimension"
        )
    sizes = {array.shape[0] for array in request.values()}
    if len(sizes) != 1:
        raise StatusError(
            INVALID_ARGUMENT,
            "Batching input tensors supplied in a given call must have equal 0th-dimension size",
        )
    return sizes.pop()


def padded(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Pads all axes but the first up to a shape, at their ends, with the array's first element.

    Raises:
        StatusError: If the array holds no element to pad with.
    """
    padded_shape = (array.shape[0], *shape[1:])
    if np.prod(padded_shape) == array.size:
        return array.reshape(padded_shape)
    if not array.size:
        raise StatusError(INVALID_ARGUMENT, "Got empty tensor in batch of non-empty tensors.")
    grown = np.full(padded_shape, array.flat[0], array.dtype)
    grown[tuple(slice(size) for size in array.shape)] = array
    return grown
