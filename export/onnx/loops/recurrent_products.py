"""Products of a step that depend on the state alone, taken out of it.

Hypotheses of a beam that were one a step ago have the same state, so what a recurrent layer makes
of it, `h_{t−1}·W_h`, can be made once for all of them: of the distinct states when hypotheses were
chosen, and not of every row in the next step.
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
        node: its first input is the state, its one output what a step reads.
        constants: its other inputs; None for one that is left out.
    """

    node: onnx.NodeProto
    constants: tuple[onnx.TensorProto | None, ...]

    @property
    def state(self) -> str:
        """Name of the tensor of the state."""
        return str(self.node.input[0])

    @property
    def name(self) -> str:
        """Name of what comes out."""
        return str(self.node.output[0])

    def add(self, nodes: Nodes, state: str, constants: Sequence[str | None]) -> str:
        """Adds the node, of a state and constants that have names there; returns its output."""
        inputs = [state, *(name or "" for name in constants)]
        found = nodes.add(self.node.op_type, inputs, domain=self.node.domain)
        return nodes.declare(found, onnx.TensorProto.FLOAT)


def without_products(
    step: onnx.GraphProto, state: Sequence[str]
) -> tuple[onnx.GraphProto, tuple[str, ...], list[Product]]:
    """A step that is given those products, what its state is then, and the products.

    Args:
        step: as in `ModelParts`, with a row for each hypothesis; it is left as it is.
        state: names of the tensors of its state.

    Returns:
        The state has the products in it, and not what is read for their sake alone.

    Example:
        >>> from onnx import parser
        >>> step = parser.parse_graph('''
        ...     step (float[n,1] h, float[n,2] c) => (float[n,2] new_h)
        ...     <float[1,2] w = {1, 2}> { u = MatMul(h, w) s = Add(u, c) new_h = Tanh(s) }''')
        >>> rest, state, (product,) = without_products(step, ["h", "c"])
        >>> [node.op_type for node in rest.node], state, product.state, product.name
        (['Add', 'Tanh'], ('c', 'u'), 'h', 'u')
    """
    constants = {each.name: each for each in step.initializer}
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
    kept = (name for name in state if name not in unread)
    return rest, (*kept, *(product.name for product in products)), products
