"""Removes the treatment of negative ids from embedding lookups.

Keras' embedding counts negative ids from the end of the table with five small operations,
`where(id < 0, id + V, id)`, before it looks them up. ONNX's Gather does so by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import numpy_helper

from keras_s2s.export.onnx.graph.names import graphs, remove_unused


def simplify_lookups(model: onnx.ModelProto) -> None:
    """Lets every Gather from a constant table read its ids directly, in place, also inside loops.

    Example:
        >>> from onnx import parser
        >>> model = parser.parse_model('''
        ...     <ir_version: 9, opset_import: ["": 18]>
        ...     agraph (int32[n] id) => (float[n,2] y)
        ...     <float[3,2] table = {1, 2, 3, 4, 5, 6}, int32 rows = {3}, int32 zero = {0}>
        ...     {
        ...         behind = Add(id, rows)
        ...         negative = Less(id, zero)
        ...         row = Where(negative, behind, id)
        ...         y = Gather(table, row)
        ...     }''')
        >>> simplify_lookups(model)
        >>> [node.op_type for node in model.graph.node]
        ['Gather']
    """
    constants: dict[str, onnx.TensorProto] = {}
    producers: dict[str, onnx.NodeProto] = {}
    for graph in graphs(model.graph):
        constants.update({constant.name: constant for constant in graph.initializer})
        producers.update({name: node for node in graph.node for name in node.output})
    for node in list(producers.values()):
        if node.op_type == "Gather" and node.input[0] in constants and _axis(node) == 0:
            (rows, *_) = constants[node.input[0]].dims
            node.input[1] = _original_ids(node.input[1], rows, producers, constants)
    remove_unused(model.graph)


def _axis(node: onnx.NodeProto) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == "axis"), 0)


def _original_ids(
    name: str,
    rows: int,
    producers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
) -> str:
    """Returns the ids inside `where(id < 0, id + rows, id)`; any other name comes back as it is."""

    def is_constant(name: str, value: int) -> bool:
        constant = constants.get(name)
        return constant is not None and bool((numpy_helper.to_array(constant) == value).all())

    def inputs(name: str, operator: str) -> list[str]:
        node = producers.get(name)
        return list(node.input) if node is not None and node.op_type == operator else []

    match inputs(name, "Where"):
        case [negative, behind, ids]:
            pass
        case _:
            return name
    match inputs(negative, "Less"):
        case [compared, zero] if is_constant(zero, 0):
            is_negative = compared == ids or inputs(compared, "Cast") == [ids]
        case _:
            return name
    match inputs(behind, "Add"):
        case [first, second]:
            is_behind = {first, second} >= {ids} and (
                is_constant(second if first == ids else first, rows)
            )
        case _:
            return name
    return ids if is_negative and is_behind else name
