"""Moves a product with the memory from the step to the encoder, which computes it once per source.

The attentional vector reads the context through a matrix, `W·[context_t; h_t]`, and the context is
a sum over the source, `Σ_s α_s·v_s`. With `W = [W_c, W_h]` the context's share of the product is
`Σ_s α_s·(W_c·v_s)`. So the encoder can project the values once, and the step only computes
`W_h·h_t`. This costs one row of a product for each source position, instead of one for each token
of each hypothesis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keras_s2s.export.onnx.graph.names import copied, remove_unused, rename_uses, replace_nodes
from keras_s2s.export.onnx.parts import ModelParts

PRODUCTS = {"MatMul", "DynamicQuantizeMatMul"}  # the second has int8 weights


def folded(parts: ModelParts) -> tuple[onnx.GraphProto, onnx.GraphProto]:
    """Returns copies of encoder and step in which the encoder projects the memory for the step.

    A tensor of the memory stays as it is unless the step computes nothing but contexts from it, and
    uses these in one product alone that is not wider than they are. A wider product would make a
    wider memory, which every step would have to read.
    """
    copies = onnx.GraphProto(), onnx.GraphProto()
    for copy, model in zip(copies, (parts.encoder, parts.step), strict=True):
        copy.CopyFrom(model.graph)
    for name in parts.memory:
        fold_context(*copies, name)
    return copies


def fold_context(encoder: onnx.GraphProto, step: onnx.GraphProto, name: str) -> None:
    """Lets the encoder project one tensor of the memory, if possible, in place.

    Args:
        encoder: a graph that has the tensor among its outputs.
        step: a graph that has the tensor among its inputs.
        name: the name of the tensor.

    Example: the context `α·v` enters a product together with `h`.
        >>> from onnx import parser
        >>> encoder = parser.parse_graph('''
        ...     encoder (float[b,s,2] x) => (float[b,s,2] v) { v = Neg(x) }''')
        >>> step = parser.parse_graph('''
        ...     step (float[b,k,s] a, float[b,s,2] v, float[n,1] h) => (float[n,2] y)
        ...     <int64[2] wide = {-1, 2}, float[3,2] w = {1, 2, 3, 4, 5, 6}>
        ...     { c = MatMul(a, v) d = Reshape(c, wide) e = Concat<axis=1>(d, h) y = MatMul(e, w) }
        ... ''')
        >>> fold_context(encoder, step, "v")
        >>> [[node.op_type for node in graph.node] for graph in (encoder, step)]
        [['Neg', 'MatMul'], ['MatMul', 'Reshape', 'MatMul', 'Add']]
    """
    use = _Use(step, name)
    if use.can_fold:
        _read_projected(step, use, name)
        _project(encoder, use, name)


def _read_projected(step: onnx.GraphProto, use: _Use, name: str) -> None:
    """Takes the context's share out of the product of a step, and adds the context to the rest."""
    begin, behind = use.begin, use.begin + use.width
    size = use.weight.shape[1]
    context = use.flat.output[0]
    rest_of_weight = np.concatenate([use.weight[:begin], use.weight[behind:]])
    _add_constants(
        step,
        {
            f"{name}_rest": rest_of_weight,
            f"{name}_shape": np.array([-1, size]),
            f"{name}_width": np.array([use.width]),
        },
    )
    nodes: list[onnx.NodeProto] = []
    for node in map(copied, step.node):
        if node == use.joined:  # without the context
            node.input.remove(context)
            rest_name = node.output[0] if len(node.input) > 1 else node.input[0]
            nodes += [node] if len(node.input) > 1 else []
        elif node == use.product:
            sum_name, node.output[0] = node.output[0], f"{name}_product"
            node.input[:2] = [rest_name, f"{name}_rest"]
            _declare(step, node)
            nodes.append(node)
            nodes.append(
                helper.make_node("Add", [node.output[0], context], [sum_name], f"{name}_sum")
            )
        elif node == use.flat:
            node.input[1] = f"{name}_shape"
            nodes.append(node)
        elif node in use.shapes:  # as wide as before
            first = f"{node.output[0]}_first"
            nodes.append(helper.make_node("Shape", [name], [first], first, end=2))
            shape = [first, f"{name}_width"]
            nodes.append(helper.make_node("Concat", shape, node.output, node.name, axis=0))
        else:
            nodes.append(node)
    replace_nodes(step, nodes)
    remove_unused(step)
    _set_width(step.input, name, size)


def _project(encoder: onnx.GraphProto, use: _Use, name: str) -> None:
    """Multiplies a tensor of the memory by its share of the step's matrix, inside the encoder."""
    whole, projection = f"{name}_whole", f"{name}_projection"
    rename_uses(encoder, name, whole)
    for node in encoder.node:
        node.output[:] = [whole if output == name else output for output in node.output]
    scales = {f"{projection}_{i}": scale for i, scale in enumerate(use.scales)}
    share = use.weight[use.begin : use.begin + use.width]
    _add_constants(encoder, {projection: share, **scales})
    projected = copied(use.product)
    projected.name = projection
    projected.input[:] = [whole, projection, *scales]  # a bias is added once, by the step
    projected.output[0] = name
    encoder.node.append(projected)
    _set_width(encoder.output, name, use.weight.shape[1])


class _Use:
    """How a step uses a tensor `(B, S, M)` of the memory.

    `can_fold` says whether it is used as follows and nowhere else:

    ```
    context = MatMul(weights, name)                 flat = Reshape(context, [-1, M])
    joined = Concat(flat, …) or Concat(…, flat)     product = MatMul(joined, weight)
    ```

    In 8-bit models the product is DynamicQuantizeMatMul(joined, weight, *scales), with or without a
    bias.
    """

    def __init__(self, graph: onnx.GraphProto, name: str) -> None:
        self.graph = graph
        self.constants = {
            constant.name: numpy_helper.to_array(constant) for constant in graph.initializer
        }
        self.can_fold = self._matches(name)

    def _matches(self, name: str) -> bool:
        readers = self._readers(name)
        self.shapes = [node for node in readers if node.op_type == "Shape" and not node.attribute]
        others = [node for node in readers if node not in self.shapes]
        if len(others) != 1 or others[0].op_type != "MatMul" or others[0].input[1] != name:
            return False
        chain = others
        for operators in ({"Reshape"}, {"Concat"}, PRODUCTS):
            after = self._readers(chain[-1].output[0])
            if len(after) != 1 or after[0].op_type not in operators:
                return False
            chain += after
        _, self.flat, self.joined, self.product = chain
        shape = self.constants.get(self.flat.input[1])
        weight = self.constants.get(self.product.input[1])
        if shape is None or weight is None or shape.size != 2 or weight.ndim != 2:
            return False
        inputs, context = list(self.joined.input), self.flat.output[0]
        if inputs.count(context) != 1 or len(inputs) < 2 or context not in (inputs[0], inputs[-1]):
            return False
        self.scales = [self.constants[scale] for scale in self.product.input[2:4]]
        self.weight, self.width = weight, int(shape[1])
        self.begin = 0 if inputs[0] == context else len(weight) - self.width
        (axis,) = (attribute.i for attribute in self.joined.attribute)
        return bool(shape[0] == -1 and axis in (1, -1) and weight.shape[1] <= self.width)

    def _readers(self, name: str) -> list[onnx.NodeProto]:
        """Returns the nodes that read a value; none for a value that is also an output."""
        if any(value.name == name for value in self.graph.output):
            return []
        return [node for node in self.graph.node for value in node.input if value == name]


def _declare(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """States the dtype of what an operator outside ONNX returns; see `Nodes.declare`."""
    if node.domain:
        kind = onnx.TensorProto.FLOAT
        graph.value_info.append(helper.make_tensor_value_info(node.output[0], kind, None))


def _add_constants(graph: onnx.GraphProto, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))


def _set_width(values: Iterable[onnx.ValueInfoProto], name: str, size: int) -> None:
    for value in values:
        if value.name == name:
            value.type.tensor_type.shape.dim[-1].dim_value = size
