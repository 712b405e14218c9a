"""Takes the products that depend on the state alone out of a decoder step.

Hypotheses of a beam that extend the same hypothesis have the same state. The product that a
recurrent layer computes from it, `h_{t−1}·W_h`, is then the same for all of them. Beam search
computes it once for each distinct state, as soon as hypotheses are chosen, and not for every row in
the next step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from keras_s2s.export.onnx.graph.names import copied, remove_unused, replace_nodes, used
from keras_s2s.export.onnx.graph.nodes import Nodes
from keras_s2s.export.onnx.loops.folding import PRODUCTS


@dataclass(frozen=True)
class Product:
    """A node that multiplies a tensor of the state with constants.

    Attributes:
        node: the node; its first input is the tensor of the state, and it has one output.
        constants: the other inputs of the node; None for an input that is left out.
    """

    node: onnx.NodeProto
    constants: tuple[onnx.TensorProto | None, ...]

    @property
    def state(self) -> str:
        """The name of the state tensor that is multiplied."""
        return str(self.node.input[0])

    @property
    def name(self) -> str:
        """The name of the result."""
        return str(self.node.output[0])

    def add(self, nodes: Nodes, state: str, constants: Sequence[str | None]) -> str:
        """Adds the product to `nodes` and returns the name of its result there.

        Args:
            nodes: the nodes to add it to.
            state: the name of the state tensor there.
            constants: the names of the constants there.
        """
        inputs = [state, *(name or "" for name in constants)]
        product = nodes.add(self.node.op_type, inputs, domain=self.node.domain)
        return nodes.declare(product, onnx.TensorProto.FLOAT)


def without_products(
    step: onnx.GraphProto, state: Sequence[str]
) -> tuple[onnx.GraphProto, tuple[str, ...], list[Product]]:
    """Returns a step that reads products of the state in place of computing them.

    Args:
        step: the step of `ModelParts`, with a row for each hypothesis; it is left as it is.
        state: names of the tensors of its state.

    Returns:
        The new step, the names of its state, and the products. The new state holds the products; it
        no longer holds tensors that only the products read.

    Example:
        >>> from onnx import parser
        >>> step = parser.parse_graph('''
        ...     step (float[n,1] h, float[n,2] c) => (float[n,2] new_h)
        ...     <float[1,2] w = {1, 2}> { u = MatMul(h, w) s = Add(u, c) new_h = Tanh(s) }''')
        >>> rest, state, (product,) = without_products(step, ["h", "c"])
        >>> [node.op_type for node in rest.node], state, product.state, product.name
        (['Add', 'Tanh'], ('c', 'u'), 'h', 'u')
    """
    constants = {constant.name: constant for constant in step.initializer}
    results = {value.name for value in step.output}

    def is_product(node: onnx.NodeProto) -> bool:
        if node.op_type not in PRODUCTS or node.input[0] not in state:
            return False
        others = [name for name in node.input[1:] if name]
        return results.isdisjoint(node.output) and all(name in constants for name in others)

    products = [
        Product(copied(node), tuple(constants.get(name) for name in node.input[1:]))
        for node in step.node
        if is_product(node)
    ]
    rest = onnx.GraphProto()
    rest.CopyFrom(step)
    replace_nodes(rest, [node for node in step.node if not is_product(node)])
    remove_unused(rest)
    unread = set(state) - set(used(rest))
    inputs = [value for value in step.input if value.name not in unread]
    inputs += [
        helper.make_tensor_value_info(p.name, onnx.TensorProto.FLOAT, None) for p in products
    ]
    del rest.input[:]
    rest.input.extend(inputs)
    still_read = (name for name in state if name not in unread)
    return rest, (*still_read, *(product.name for product in products)), products
