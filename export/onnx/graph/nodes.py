"""Writes ONNX graphs node by node: named values, constants, loop bodies.

This module knows nothing of what a graph computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keras_s2s.export.onnx.graph.names import rename_all

# Maps the domain of each operator set beside ONNX's own to its version; a model imports those it
# uses. tf2onnx imports ai.onnx.ml 2, and models can be merged only when their versions agree.
DOMAINS = {"ai.onnx.ml": 2, "com.microsoft": 1, "ai.onnx.contrib": 1}


class Nodes:
    """The nodes of a graph under construction.

    Args:
        prefix: Beginning of the names of all values that the caller does not name, so that models
            can be merged.

    Example:
        >>> nodes = Nodes("double/")
        >>> nodes.add("Mul", ["x", nodes.constant(2)], output="y")
        'y'
        >>> x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["batch"])
        >>> y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, ["batch"])
        >>> len(nodes.model([x], [y], opset=20, ir_version=9).graph.node)
        1
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._declared: list[onnx.ValueInfoProto] = []

    def constant(self, value: Any) -> str:
        """Adds a constant of strings, booleans, float32, or int64, and returns its name."""
        array = np.asarray(value)
        if array.dtype.kind == "U":
            array = np.asarray(value, dtype=object)  # NumPy strings lose a NUL at the end
        elif array.dtype.kind == "f":
            array = array.astype(np.float32)
        return self.weight(array)

    def weight(self, array: np.ndarray) -> str:
        """Adds a constant of the array's own dtype, and returns its name."""
        name = f"{self.prefix}constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(
        self,
        operator: str,
        inputs: Sequence[str],
        *,
        output: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Adds a node with one output.

        Args:
            operator: Type of the node.
            inputs: Names of values; "" leaves an optional input out.
            output: Name of the output; a new name is chosen when omitted.
            domain: Domain of the operator set, "" for ONNX's own.
            **attributes: Attributes of the node.

        Returns:
            The name of the output.
        """
        return self.add_all(operator, inputs, 1, output=output, domain=domain, **attributes)[0]

    def add_all(
        self,
        operator: str,
        inputs: Sequence[str],
        count: int,
        *,
        output: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Adds a node with `count` outputs and returns their names.

        Only the first output may be named by the caller.
        """
        chosen = [f"{self.prefix}{operator}_{len(self._nodes)}_{n}" for n in range(count)]
        outputs = [output or chosen[0], *chosen[1:]]
        self._nodes.append(
            helper.make_node(
                operator,
                inputs,
                outputs,
                # A runtime's messages name the failing node.
                name=f"{self.prefix}{operator}_{len(self._nodes)}",
                domain=domain,
                **attributes,
            )
        )
        return outputs

    def declare(self, name: str, dtype: int) -> str:
        """States the dtype of a value that an operator outside ONNX returns; returns `name`.

        ONNX cannot infer that dtype, and its inference for LabelEncoder then reads a missing dtype
        and ends the process (onnx 1.23, `checker.check_model(full_check=True)`).
        """
        self._declared.append(helper.make_tensor_value_info(name, dtype, None))
        return name

    def inline(
        self, graph: onnx.GraphProto, inputs: Mapping[str, str], constants: Nodes | None = None
    ) -> dict[str, str]:
        """Adds copies of the nodes of a graph.

        Args:
            graph: The graph to add. The names of the copies begin with the prefix and the graph's
                name; the graph itself is left as it is.
            inputs: The value to read for each input of the graph.
            constants: The nodes that receive the graph's constants; these nodes when omitted. The
                body of a loop can read the constants of the graph around it.

        Returns:
            The name of the value here for each output of the graph.
        """
        prefix = f"{self.prefix}{graph.name}/"

        def renamed(name: str) -> str:
            return inputs.get(name, prefix + name)

        copy = onnx.GraphProto()
        copy.CopyFrom(graph)
        rename_all(copy, renamed)
        for node in copy.node:
            if node.name:  # nodes without a name must not all be named by the prefix
                node.name = prefix + node.name
        self._nodes.extend(copy.node)
        self._declared.extend(copy.value_info)
        # An input may come with a constant that holds its default.
        fed_names = set(inputs.values())
        owner = constants or self
        owner._constants.extend(
            constant for constant in copy.initializer if constant.name not in fed_names
        )
        return {value.name: renamed(value.name) for value in graph.output}

    @property
    def number(self) -> str:
        """The name of the iteration's number, an int64 scalar in the body of a loop."""
        return f"{self.prefix}number"

    def loop_body(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        goes_on: str | None = None,
    ) -> onnx.GraphProto:
        """Returns the nodes as the body of a Loop.

        Args:
            inputs: Values that an iteration receives from the one before.
            outputs: Values that it hands on, in the order of `inputs`, followed by the values that
                are stacked over iterations.
            goes_on: Name of a bool scalar that says whether there is another iteration. When
                omitted, the Loop ends by its count alone, and its condition is left out.

        Returns:
            The graph for the attribute `body` of a Loop.
        """
        number = helper.make_tensor_value_info(self.number, onnx.TensorProto.INT64, [])
        going = helper.make_tensor_value_info(f"{self.prefix}going", onnx.TensorProto.BOOL, [])
        if goes_on is None:
            goes_on = self.add("Identity", [going.name], output=f"{self.prefix}goes_on")
        condition = helper.make_tensor_value_info(goes_on, onnx.TensorProto.BOOL, [])
        return self.graph([number, going, *inputs], [condition, *outputs])

    def graph(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """Returns the nodes as a graph, for a model or for the body of a loop."""
        name = self.prefix.strip("/")
        return helper.make_graph(
            self._nodes, name, inputs, outputs, self._constants, value_info=self._declared
        )

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        *,
        opset: int,
        ir_version: int,
    ) -> onnx.ModelProto:
        """Returns the nodes as a model that imports the domains they use."""
        used = set(_domains(self._nodes))
        versions = {"": opset} | {name: DOMAINS[name] for name in DOMAINS if name in used}
        imports = [helper.make_opsetid(name, version) for name, version in versions.items()]
        graph = self.graph(inputs, outputs)
        return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)


def _domains(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield node.domain
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _domains(attribute.g.node)
