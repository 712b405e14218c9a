"""Models in 8 bits: weights as int8, a quarter of the size, products in whole numbers.

onnxruntime's own quantiser leaves products inside loops alone unless told otherwise, scales whole
matrices rather than columns, and knows no recurrent layer but a plain LSTM. This one works on
encoder and step before a search is written around them, so every graph made of them is quantised.

A weight matrix becomes int8 with a scale for each column, `w ≈ s·q`; what it is multiplied with is
quantised when it is known, with one scale for all rows of a batch. So, unlike in float32, the
outputs of a sentence may depend a little on the others in its batch.

In products `|q| ≤ 63`. x86 processors without VNNI add two products of unsigned and signed bytes in
16 bits and cut off what is more: 2·255·127 is, 2·255·63 is not. So a model says the same on all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keras_s2s.export.onnx.graph.names import copied, remove_unused, replace_nodes
from keras_s2s.export.onnx.parts import Pieces

DOMAIN = "com.microsoft"
OPERATORS = {(DOMAIN, "DynamicQuantizeMatMul"), (DOMAIN, "DynamicQuantizeLSTM")}
PRODUCT, STORED = 63, 127  # largest |q| of weights that are multiplied, and of others
LEAST = 1024  # elements below which a weight is left as it is


def quantized(pieces: Pieces) -> Pieces:
    """The pieces with their products, embeddings and LSTMs in 8 bits, and GRUs stored so.

    onnxruntime (1.32) has no GRU that computes in 8 bits: its weights are widened before it.
    """
    return replace(
        pieces, encoder=quantized_model(pieces.encoder), step=quantized_model(pieces.step)
    )


def quantized_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in 8 bits of a model whose weights are constants of the graph itself.

    Example: a matrix of 32 × 32, whose product then takes 8 bits.
        >>> from onnx import parser
        >>> model = parser.parse_model('''
        ...     <ir_version: 9, opset_import: ["": 18]>
        ...     agraph (float[n,32] x) => (float[n,32] y) { y = MatMul(x, w) }''')
        >>> weight = numpy_helper.from_array(np.ones((32, 32), np.float32), "w")
        >>> model.graph.initializer.append(weight)
        >>> [node.op_type for node in quantized_model(model).graph.node]
        ['DynamicQuantizeMatMul']
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _Quantizer(copy.graph).run()
    if all(entry.domain != DOMAIN for entry in copy.opset_import):
        copy.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    remove_unused(copy.graph)
    return copy


class _Quantizer:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {
            constant.name: numpy_helper.to_array(constant)
            for constant in graph.initializer
            if constant.data_type == onnx.TensorProto.FLOAT
        }
        self.made: set[str] = set()
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.results = {value.name for value in graph.output}

    def run(self) -> None:
        nodes: list[onnx.NodeProto] = []
        added: set[str] = set()  # results of additions that a product does itself
        for node in self.graph.node:
            if node.op_type == "Add" and node.output[0] in added:
                continue
            if node.op_type == "MatMul" and self._is_large(node.input[1], 2):
                nodes.append(self._product(node))
                added.update(nodes[-1].output)
            elif node.op_type == "Gather" and self._is_large(node.input[0], 2):
                nodes += self._lookup(node)
            elif node.op_type == "LSTM" and self._is_large(node.input[1], 3):
                nodes.append(self._recurrence(node))
            elif node.op_type == "GRU" and self._is_large(node.input[1], 3):
                nodes += self._stored(node)
            else:
                nodes.append(copied(node))
        # What an operator outside ONNX gives, ONNX cannot infer; see `Nodes.declare`.
        self.graph.value_info.extend(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for node in nodes
            if node.domain == DOMAIN
            for name in filter(None, node.output)
        )
        replace_nodes(self.graph, nodes)

    def _is_large(self, name: str, rank: int) -> bool:
        weight = self.weights.get(name)
        return weight is not None and weight.ndim == rank and weight.size >= LEAST

    def _product(self, node: onnx.NodeProto) -> onnx.NodeProto:
        weight, scale, zero = self._columns(node.input[1], self.weights[node.input[1]])
        inputs, outputs = [node.input[0], weight, scale, zero], node.output
        addition = self._bias(node.output[0], self.weights[node.input[1]].shape[1])
        if addition is not None:
            (bias,) = (name for name in addition.input if name != node.output[0])
            inputs, outputs = [*inputs, bias], addition.output
        return helper.make_node(
            "DynamicQuantizeMatMul", inputs, outputs, name=node.name, domain=DOMAIN
        )

    def _bias(self, name: str, width: int) -> onnx.NodeProto | None:
        """The one reader of a product, where it adds a constant row to it."""
        readers = self.readers.get(name, [])
        if name in self.results or len(readers) != 1 or readers[0].op_type != "Add":
            return None
        others = [self.weights.get(each) for each in readers[0].input if each != name]
        is_row = len(others) == 1 and others[0] is not None and others[0].shape == (width,)
        return readers[0] if is_row else None

    def _lookup(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        # Each column has a scale, as those of a product.
        table, scale, _ = self._columns(node.input[0], self.weights[node.input[0]])
        rows, wide = f"{node.output[0]}_int8", f"{node.output[0]}_wide"
        found = copied(node)
        found.input[0], found.output[0] = table, rows
        # A third of the time of DequantizeLinear with a scale for each of the last axis.
        return [
            found,
            helper.make_node("Cast", [rows], [wide], name=wide, to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [wide, scale], node.output, name=f"{node.name}_float"),
        ]

    def _recurrence(self, node: onnx.NodeProto) -> onnx.NodeProto:
        products, scales = [], []
        for name in node.input[1:3]:
            # (D, 4U, E) to (D, E, 4U), as the operator wants it
            weight, scale, zero = self._columns(name, self.weights[name].transpose(0, 2, 1))
            products.append(weight)
            scales += [scale, zero]
        rest = [*node.input[3:], *[""] * (8 - len(node.input))]
        quantized = helper.make_node(
            "DynamicQuantizeLSTM",
            [node.input[0], *products, *rest, *scales],
            node.output,
            name=node.name,
            domain=DOMAIN,
        )
        quantized.attribute.extend(node.attribute)
        return quantized

    def _stored(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """A GRU after operators that widen its weights."""
        stored, nodes = copied(node), []
        for place in (1, 2):
            name = node.input[place]
            stored.input[place] = f"{name}_float"
            # Each row of (D, 3U, E), a unit's, has a scale, the same in both directions.
            narrow, scale, _ = self._narrow(name, self.weights[name], (0, 2), STORED)
            nodes.append(
                helper.make_node("DequantizeLinear", [narrow, scale], [f"{name}_float"], axis=1)
            )
        return [*nodes, stored]

    def _columns(self, name: str, weight: np.ndarray) -> tuple[str, str, str]:
        """Names of a weight in int8, of a scale for each of its columns, and of their zeros."""
        # Embeddings too: a tied one is multiplied as well.
        return self._narrow(name, weight, (weight.ndim - 2,), PRODUCT)

    def _narrow(
        self, name: str, weight: np.ndarray, axes: tuple[int, ...], largest: int
    ) -> tuple[str, str, str]:
        """Names of a weight in int8, of scales, each for all along `axes`, and of their zeros."""
        names = (f"{name}_int8", f"{name}_scale", f"{name}_zero")
        if name not in self.made:
            scale = np.abs(weight).max(axis=axes, keepdims=True) / largest
            scale = np.where(scale == 0, 1, scale).astype(np.float32)
            rounded = np.round(weight / scale).astype(np.int8)
            scale = scale.squeeze(axes)
            arrays = (rounded, scale, np.zeros_like(scale, np.int8))
            self.graph.initializer.extend(
                numpy_helper.from_array(array, each)
                for array, each in zip(arrays, names, strict=True)
            )
            self.made.add(name)
        return names
