"""Writes ONNX graphs by hand: nodes in order, named values, constants, loop bodies.

Knows nothing of what a graph computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keras_s2s.export.onnx.graph.names import rename_all

# Domain -> version of each operator set beside ONNX's own; a model imports those that it uses.
# ai.onnx.ml 2 is what tf2onnx imports, and models can only be merged when they agree.
DOMAINS = {"ai.onnx.ml": 2, "com.microsoft": 1, "ai.onnx.contrib": 1}


class Nodes:
    """Nodes under construction.

    Args:
        prefix: Begins the name of every value that is not named by the caller, so that models can
            be merged.

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
        """Name of a constant: strings, booleans, float32, or int64 for whole numbers."""
        array = np.asarray(value)
        if array.dtype.kind == "U":
            array = np.asarray(value, dtype=object)  # NumPy's own strings lose a NUL at the end
        elif array.dtype.kind == "f":
            array = array.astype(np.float32)
        return self.weight(array)

    def weight(self, array: np.ndarray) -> str:
        """Name of a constant of any dtype."""
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
            output: Name of the output; None makes one up.
            domain: Operator set, "" for ONNX's own.
            **attributes: Passed on to the node.

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
        """Adds a node with `count` outputs, of which only the first may be named by the caller."""
        made_up = [f"{self.prefix}{operator}_{len(self._nodes)}_{n}" for n in range(count)]
        outputs = [output or made_up[0], *made_up[1:]]
        self._nodes.append(
            helper.make_node(
                operator,
                inputs,
                outputs,
                # Names tell a failing node in the messages of a runtime.
                name=f"{self.prefix}{operator}_{len(self._nodes)}",
                domain=domain,
                **attributes,
            )
        )
        return outputs

    def declare(self, name: str, dtype: int) -> str:
        """States the dtype of a value that an operator outside ONNX gives; returns `name`.

        ONNX cannot infer it, and its inference for LabelEncoder reads the missing dtype and ends
        the process (onnx 1.23, `checker.check_model(full_check=True)`).
        """
        self._declared.append(helper.make_tensor_value_info(name, dtype, None))
        return name

    def inline(
        self, graph: onnx.GraphProto, inputs: Mapping[str, str], constants: Nodes | None = None
    ) -> dict[str, str]:
        """Adds the nodes of a graph.

        Args:
            graph: what is added, under names that begin with the prefix and the graph's name; it is
                left as it is.
            inputs: for each input of the graph, the value to read.
            constants: who receives the graph's constants; these nodes when omitted. The body of a
                loop reads those of the graph around it.

        Returns:
            For each output of the graph, the name of its value here.
        """
        prefix = f"{self.prefix}{graph.name}/"

        def renamed(name: str) -> str:
            return inputs.get(name, prefix + name)

        copy = onnx.GraphProto()
        copy.CopyFrom(graph)
        rename_all(copy, renamed)
        for node in copy.node:
            if node.name:  # those without must not all get the prefix as their name
                node.name = prefix + node.name
        self._nodes.extend(copy.node)
        self._declared.extend(copy.value_info)
        given = set(inputs.values())  # an input may come with a constant for when it is left out
        owner = constants or self
        owner._constants.extend(each for each in copy.initializer if each.name not in given)
        return {value.name: renamed(value.name) for value in graph.output}

    @property
    def number(self) -> str:
        """In the body of a loop: the number of the iteration, an int64 scalar."""
        return f"{self.prefix}number"

    def loop_body(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        goes_on: str | None = None,
    ) -> onnx.GraphProto:
        """The nodes as the body of a Loop.

        Args:
            inputs: What an iteration receives of the one before.
            outputs: What it hands on, in the order of `inputs`, then what is stacked over
                iterations.
            goes_on: A bool scalar, whether there is another iteration; the Loop ends by its count
                alone when omitted, and its condition is left out.

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
        """The nodes as a graph, for a model or for the body of a loop."""
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
        """The nodes as a model that imports the domains they use."""
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
