"""An input or output of an exported graph, with its dtype, its named axes and its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

DTYPES: dict[str, type[np.generic]] = {
    "int32": np.int32,
    "int64": np.int64,
    "bool": np.bool_,
    "float32": np.float32,
    "string": np.object_,
}


@dataclass(frozen=True)
class Axis:
    """A named axis of a value.

    Attributes:
        name: the noun that is counted along the axis. Axes of the same name have the same length
            within a call.
        size: the length of the axis in every call; None when it differs from call to call.
    """

    name: str
    size: int | None = None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}={self.size}"


@dataclass(frozen=True)
class Value:
    """An input or an output of a graph.

    Attributes:
        name: the name in every format.
        dtype: the name of a dtype in `DTYPES`.
        axes: the axes, with the batch first.
        meaning: one sentence that describes the value in the file and in the documentation.
        default: the value of an input that a caller leaves out; None for a required input and for
            an output.

    Raises:
        ValueError: If `dtype` is unknown, or `name` ends in `_bytes`.
    """

    name: str
    dtype: str
    axes: tuple[Axis, ...]
    meaning: str
    default: int | float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(
                f"`dtype` must be one of {', '.join(map(repr, DTYPES))}; got dtype={self.dtype!r}."
            )
        # TensorFlow Serving wraps an output of such a name in base64.
        if self.name.endswith("_bytes"):
            raise ValueError(
                "`name` must not end in '_bytes', because TensorFlow Serving wraps such an output "
                f"in base64; got name={self.name!r}. Choose another name."
            )

    def tensor_spec(self) -> tf.TensorSpec:
        """Returns the value as an entry of a TensorFlow signature."""
        import tensorflow as tf

        shape = [axis.size for axis in self.axes]
        return tf.TensorSpec(shape, tf.dtypes.as_dtype(self.dtype), name=self.name)

    def to_json(self) -> dict[str, Any]:
        """Returns the value as JSON types."""
        axes = [[axis.name, axis.size] for axis in self.axes]
        fields = {"name": self.name, "dtype": self.dtype, "axes": axes, "meaning": self.meaning}
        return fields if self.default is None else {**fields, "default": self.default}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> Value:
        """Returns the value that `to_json` described."""
        axes = tuple(Axis(name, size) for name, size in fields["axes"])
        default = fields.get("default")
        return Value(fields["name"], fields["dtype"], axes, fields["meaning"], default)

    def objection(self, array: Any, sizes: dict[str, int]) -> str | None:
        """Returns what is wrong with an array that stands for this value, or None.

        Args:
            array: the array that was fed or returned.
            sizes: the lengths of the named axes that this call has met so far. The lengths of axes
                that appear for the first time are added.

        Returns:
            A sentence without a full stop, or None when dtype and shape are as declared.
        """
        array = np.asarray(array)
        strings = self.dtype == "string" and array.dtype.kind in "SUO"
        if not strings and array.dtype != DTYPES[self.dtype]:
            return f"{self.name} must be {self.dtype}; got {array.dtype}"
        shape = [
            axis.size if axis.size is not None else sizes.get(axis.name, length)
            for axis, length in zip(self.axes, array.shape, strict=False)
        ]
        if array.ndim != len(self.axes) or list(array.shape) != shape:
            axes = ", ".join(map(str, self.axes))
            met_sizes = ", ".join(f"{name}={size}" for name, size in sizes.items()) or "any sizes"
            return f"{self.name} must have the shape [{axes}] with {met_sizes}; got {array.shape}"
        sizes.update((axis.name, n) for axis, n in zip(self.axes, array.shape, strict=True))
        return None
