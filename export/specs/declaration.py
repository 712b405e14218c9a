"""The inputs and outputs of an exported graph, and the check that one call is as declared.

A graph's TensorFlow signature, the names and axes of its ONNX file, the checks of the arrays that a
runtime returns, and its table in the documentation all derive from its declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_s2s.export.specs.value import Value

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Declaration:
    """The inputs and outputs of an exported graph.

    Attributes:
        name: name of the graph.
        meaning: one sentence that describes the graph in the file and in the documentation.
        inputs: the inputs in their order.
        outputs: the outputs in their order.
    """

    name: str
    meaning: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    def signature(self) -> list[tf.TensorSpec]:
        """Returns the required inputs as a TensorFlow signature."""
        return [value.tensor_spec() for value in self.inputs if value.default is None]

    def objections(
        self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
    ) -> list[str]:
        """Returns every departure of one call from the declaration: names, dtypes and shapes.

        Args:
            inputs: the arrays that were fed, by name.
            outputs: the arrays that were returned, by name.

        Returns:
            One text per departure; none for a call that is as declared.
        """
        objections, sizes = list[str](), dict[str, int]()
        for values, arrays in ((self.inputs, inputs), (self.outputs, outputs)):
            names = [value.name for value in values]
            needed = {value.name for value in values if value.default is None}
            if not needed <= set(arrays) <= set(names):
                objections.append(f"{self.name} has {names}; got {sorted(arrays)}")
                continue
            present = [value for value in values if value.name in arrays]
            checks = (value.objection(arrays[value.name], sizes) for value in present)
            objections += [objection for objection in checks if objection]
        return objections

    def table(self) -> str:
        """Returns the declaration as a Markdown table, with a row for each input and output."""
        rows = []
        for direction, values in (("in", self.inputs), ("out", self.outputs)):
            for value in values:
                axes = ", ".join(map(str, value.axes))
                cells = [f"`{value.name}`", direction, value.dtype, f"[{axes}]", value.meaning]
                rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(["| name | | dtype | axes | meaning |", "|---|---|---|---|---|", *rows])
