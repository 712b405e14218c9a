"""Quantises models to 8 bits: int8 weights in a quarter of the space, and integer products.

onnxruntime's own quantiser leaves products inside loops alone unless told otherwise, scales whole
matrices rather than columns, and knows no recurrent layer but a plain LSTM. This one works on the
encoder and the step before a search is written around them, so every graph made of them is
quantised.

A weight matrix becomes int8 with a scale for each column, `w ≈ s·q`. The other factor of a product
is quantised at run time, with one scale for all rows of a batch. So, unlike in float32, the outputs
of a sentence may depend a little on the other sentences in its batch.

Weights of products keep to `|q| ≤ 63`. x86 processors without VNNI add two products of unsigned and
signed bytes in 16 bits and saturate: 2·255·127 is too large for that, 2·255·63 is not. With the
smaller range a model gives the same outputs on all processors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keras_s2s.export.onnx.graph.names import copied, remove_unused, replace_nodes
from keras_s2s.export.onnx.parts import ModelParts

DOMAIN = "com.microsoft"
OPERATORS = {(DOMAIN, "DynamicQuantizeMatMul"), (DOMAIN, "DynamicQuantizeLSTM")}
PRODUCT, STORED = 63, 127  # largest |q| of weights in products, and of weights that are only stored
LEAST = 1024  # weights with fewer elements stay in float32


def quantized(parts: ModelParts) -> ModelParts:
    """Returns the encoder and the step with products, embeddings and LSTMs in 8 bits.

    The weights of a GRU are only stored in 8 bits and are converted to float32 when the model runs,
    because onnxruntime (1.32) has no GRU that computes in 8 bits.
    """
    return replace(parts, encoder=quantized_model(parts.encoder), step=quantized_model(parts.step))


def quantized_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns an 8-bit copy of a model whose weights are constants of its top-level graph.

    Example: the product with a matrix of 32 × 32 is computed in 8 bits.
        >>> from onnx import parser
        >>> model = parser.parse_model('''
        ...     <ir_version: 9, opset_import: ["": 18]>
        ...     agraph (float[n,32] x) => (float[n,32] y) { y = MatMul(x, w) }''')
        >>> weight = numpy_helper.from_array(np.ones((32, 32), np.float32), "w")
        >>> model.graph.initializer.extend([weight])
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
    """Replaces float32 weights of a graph by 8-bit ones, in place. Call `run` once."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {
            constant.name: numpy_helper.to_array(constant)
            for constant in graph.initializer
            if constant.data_type == onnx.TensorProto.FLOAT
        }
        self.narrowed: set[str] = set()  # names of weights that have an int8 form already
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.results = {value.name for value in graph.output}

    def run(self) -> None:
        nodes: list[onnx.NodeProto] = []
        biased: set[str] = set()  # results of additions that moved into the product before them
        for node in self.graph.node:
            if node.op_type == "Add" and node.output[0] in biased:
                continue
            if node.op_type == "MatMul" and self._is_large(node.input[1], 2):
                nodes.append(self._product(node))
                biased.update(nodes[-1].output)
            elif node.op_type == "Gather" and self._is_large(node.input[0], 2):
                nodes += self._lookup(node)
            elif node.op_type == "LSTM" and self._is_large(node.input[1], 3):
                nodes.append(self._recurrence(node))
            elif node.op_type == "GRU" and self._is_large(node.input[1], 3):
                nodes += self._stored(node)
            else:
                nodes.append(copied(node))
        # ONNX cannot infer the dtype of what an operator outside ONNX returns; `Nodes.declare`
        # says what goes wrong without it.
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
        """Returns the addition of a constant row to a product, if only the addition reads it."""
        readers = self.readers.get(name, [])
        if name in self.results or len(readers) != 1 or readers[0].op_type != "Add":
            return None
        others = [self.weights.get(other) for other in readers[0].input if other != name]
        is_row = len(others) == 1 and others[0] is not None and others[0].shape == (width,)
        return readers[0] if is_row else None

    def _lookup(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        # Each column has a scale, because a tied embedding is also multiplied.
        table, scale, _ = self._columns(node.input[0], self.weights[node.input[0]])
        rows, wide = f"{node.output[0]}_int8", f"{node.output[0]}_wide"
        lookup = copied(node)
        lookup.input[0], lookup.output[0] = table, rows
        # Cast and Mul take a third of the time of a DequantizeLinear with scales on the last axis.
        return [
            lookup,
            helper.make_node("Cast", [rows], [wide], name=wide, to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [wide, scale], node.output, name=f"{node.name}_float"),
        ]

    def _recurrence(self, node: onnx.NodeProto) -> onnx.NodeProto:
        products, scales = [], []
        for name in node.input[1:3]:
            # (D, 4U, E) to (D, E, 4U), as the operator expects it
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
        """Returns a GRU behind operators that convert its stored weights to float32."""
        stored, nodes = copied(node), []
        for place in (1, 2):
            name = node.input[place]
            stored.input[place] = f"{name}_float"
            # Each row of (D, 3U, E) belongs to one unit and has one scale for both directions.
            narrow, scale, _ = self._narrow(name, self.weights[name], (0, 2), STORED)
            nodes.append(
                helper.make_node("DequantizeLinear", [narrow, scale], [f"{name}_float"], axis=1)
            )
        return [*nodes, stored]

    def _columns(self, name: str, weight: np.ndarray) -> tuple[str, str, str]:
        """Quantises a weight with a scale for each column.

        Returns:
            The names of the int8 weight, of its scales, and of its zero points.
        """
        # Embeddings keep to the range of products too: a tied one is multiplied as well.
        return self._narrow(name, weight, (weight.ndim - 2,), PRODUCT)

    def _narrow(
        self, name: str, weight: np.ndarray, axes: tuple[int, ...], largest: int
    ) -> tuple[str, str, str]:
        """Quantises a weight once, with one scale for all elements along `axes`.

        Returns:
            The names of the int8 weight, of its scales, and of its zero points.
        """
        names = (f"{name}_int8", f"{name}_scale", f"{name}_zero")
        if name not in self.narrowed:
            scale = np.abs(weight).max(axis=axes, keepdims=True) / largest
            scale = np.where(scale == 0, 1, scale).astype(np.float32)
            rounded = np.round(weight / scale).astype(np.int8)
            scale = scale.squeeze(axes)
            arrays = (rounded, scale, np.zeros_like(scale, np.int8))
            self.graph.initializer.extend(
                numpy_helper.from_array(array, array_name)
                for array, array_name in zip(arrays, names, strict=True)
            )
            self.narrowed.add(name)
        return names
