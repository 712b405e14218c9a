"""Moves values that do not change in an ONNX loop out of the loop.

tf2onnx hands every weight that a loop body reads through the loop as state. A matrix product in the
body then has no constant operand, so a runtime can neither pre-pack nor quantise it, and every
iteration copies the weights. This pass undoes that. It also moves a node before the loop if the
node would compute the same result from the same values in every iteration. It knows nothing of what
a graph means.
"""

from __future__ import annotations

from collections import Counter

import onnx

from keras_s2s.export.onnx.graph.names import (
    bodies,
    copied,
    defined,
    graphs,
    remove_unused,
    rename_uses,
    replace_nodes,
)

# Operators that return another result for the same inputs, so they stay in the loop.
RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


def hoist_invariants(model: onnx.ModelProto) -> None:
    """Moves invariant values out of the loops of `model`, in place, inner loops first.

    1. Identity nodes are removed, except those that return an input of a graph as its output.
    2. A loop state that every iteration returns unchanged becomes a value of the surrounding
       graph.
    3. Constants of a body, and nodes that depend on surrounding values alone, move before the loop.
       Nodes with random results and nodes that hold graphs stay.
    4. Nodes and constants that nothing reads are removed.

    Args:
        model: a valid model, its nodes in topological order.

    Example: the loop receives a matrix as state; afterwards its body reads the matrix directly.

        >>> from onnx import parser
        >>> model = parser.parse_model('''
        ...     <ir_version: 8, opset_import: ["": 18]>
        ...     agraph (int64 n, float[2,2] w, float[2,2] x) => (float[2,2] y) {
        ...         y, same = Loop(n, , x, w) <body = b (
        ...             int64 i, bool c, float[2,2] s, float[2,2] v
        ...         ) => (bool d, float[2,2] t, float[2,2] u) {
        ...             d = Identity(c)
        ...             t = MatMul(s, v)
        ...             u = Identity(v)
        ...         }>
        ...     }''')
        >>> hoist_invariants(model)
        >>> list(model.graph.node[0].input)
        ['n', '', 'x']
    """
    _rewrite(model.graph, _Names(model.graph))
    remove_unused(model.graph)


class _Names:
    """Counts definitions in a model, so that a value that moves between graphs gets a free name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._counts = Counter(name for part in graphs(graph) for name in defined(part))

    def moved(self, name: str) -> str:
        """Returns the name under which the value `name` may be defined in a surrounding graph."""
        if self._counts[name] == 1:
            return name
        self._counts[name] -= 1
        number = 1
        while f"{name}__{number}" in self._counts:
            number += 1
        self._counts[f"{name}__{number}"] = 1
        return f"{name}__{number}"


def _rewrite(graph: onnx.GraphProto, names: _Names) -> None:
    for node in graph.node:
        for body in bodies(node):
            _rewrite(body, names)
    _strip_identities(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Loop" and not node.domain:
            body = next(bodies(node))
            _release_constant_state(graph, node, body)
            _lift_constants(graph, body, names)
            nodes += _lifted_nodes(body, names)
        nodes.append(node)
    replace_nodes(graph, nodes)


def _strip_identities(graph: onnx.GraphProto) -> None:
    outputs = {value.name for value in graph.output}
    producers = {name: node for node in graph.node for name in node.output}
    remaining = []
    for node in graph.node:
        if node.op_type != "Identity" or node.domain:
            remaining.append(node)
            continue
        source, target = node.input[0], node.output[0]
        if target not in outputs:
            rename_uses(graph, target, source)
        elif source in producers and source not in outputs:
            producer = producers.pop(source)
            producer.output[list(producer.output).index(source)] = target
            producers[target] = producer
            rename_uses(graph, source, target)
        else:  # an output of a graph must come from a node of that graph
            remaining.append(node)
    replace_nodes(graph, remaining)


def _release_constant_state(
    graph: onnx.GraphProto, loop: onnx.NodeProto, body: onnx.GraphProto
) -> None:
    """Turns state that a body returns unchanged into values that the body reads from outside."""
    identities = {node.output[0]: node for node in body.node if node.op_type == "Identity"}
    graph_outputs = {value.name for value in graph.output}
    for place in reversed(range(len(loop.input) - 2)):
        inside, after = body.input[place + 2].name, body.output[place + 1].name
        identity = identities.get(after)
        unchanged = after == inside or (identity is not None and identity.input[0] == inside)
        if not unchanged or loop.output[place] in graph_outputs:
            continue
        outside = loop.input[place + 2]
        if identity is not None:
            body.node.remove(identity)
            rename_uses(body, after, outside)
        rename_uses(body, inside, outside)
        if loop.output[place]:
            rename_uses(graph, loop.output[place], outside)
        del loop.input[place + 2], loop.output[place]
        del body.input[place + 2], body.output[place + 1]


def _lift_constants(graph: onnx.GraphProto, body: onnx.GraphProto, names: _Names) -> None:
    for constant in body.initializer:
        moved = graph.initializer.add()
        moved.CopyFrom(constant)
        moved.name = names.moved(constant.name)
        rename_uses(body, constant.name, moved.name)
    del body.initializer[:]


def _lifted_nodes(body: onnx.GraphProto, names: _Names) -> list[onnx.NodeProto]:
    """Takes the invariant nodes out of a body and returns them, to be put before its loop."""
    outputs = {value.name for value in body.output}
    changing = {value.name for value in body.input}
    lifted, remaining = [], []
    for node in body.node:
        invariant = changing.isdisjoint(node.input) and outputs.isdisjoint(node.output)
        if not invariant or node.op_type in RANDOM or any(bodies(node)):
            changing.update(node.output)
            remaining.append(node)
            continue
        for place, name in enumerate(node.output):
            if name:
                node.output[place] = names.moved(name)
                rename_uses(body, name, node.output[place])
        lifted.append(copied(node))
    replace_nodes(body, remaining)
    return lifted
