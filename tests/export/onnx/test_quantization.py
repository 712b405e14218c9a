"""Tests of 8-bit models: their nodes, their error, and the export that refuses too great a loss."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from keras_s2s.export.errors import ExportError
from keras_s2s.export.onnx.files import onnx_plan, write_int8, write_onnx
from keras_s2s.export.onnx.graph.names import bodies, nodes
from keras_s2s.export.onnx.parts import model_parts
from keras_s2s.export.onnx.quantization import quantized, quantized_model
from keras_s2s.export.parity.quality import (
    check_quality,
    check_quantization,
    compare_quality,
    outputs_of,
    quality_lines,
)
from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

X = onnx.TensorProto.FLOAT


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def model_of(node: onnx.NodeProto, *weights: tuple[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", X if node.input[0] == "x" else 7, None)],
        [helper.make_tensor_value_info("y", X, None)],
        [numpy_helper.from_array(array.astype("float32"), name) for name, array in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("kind", ["product", "lookup", "LSTM", "GRU"])
def test_each_form_is_close_to_float32(kind: str) -> None:
    draw = np.random.default_rng(0)
    # Columns of very different size, so that one scale for all would show.
    weight = draw.normal(size=(64, 128)) * np.logspace(-2, 1, 128)
    given: np.ndarray = draw.normal(size=(5, 64)).astype("float32")
    if kind == "product":
        model = model_of(helper.make_node("MatMul", ["x", "w"], ["y"]), ("w", weight))
    elif kind == "lookup":
        model = model_of(helper.make_node("Gather", ["w", "i"], ["y"]), ("w", weight))
        model.graph.input[0].name, given = "i", np.array([3, 0, 63])
    else:
        rows = {"LSTM": 128, "GRU": 96}[kind]
        shapes = ((2, rows, 16), (2, rows, 32), (2, 2 * rows))
        w, r, b = (draw.normal(0, 0.3, shape) for shape in shapes)
        node = helper.make_node(
            kind, ["x", "w", "r", "b"], ["y"], hidden_size=32, direction="bidirectional"
        )
        model = model_of(node, ("w", w), ("r", r), ("b", b))
        given = draw.normal(size=(7, 3, 16)).astype("float32")

    name = model.graph.input[0].name
    (whole,) = session(model).run(None, {name: given})
    smaller = quantized_model(model)
    (found,) = session(smaller).run(None, {name: given})

    # A weight is rounded by at most half a step of 1/127 of its column's largest.
    difference = np.abs(found - whole).max(axis=tuple(range(whole.ndim - 1)))
    largest = np.abs(whole).max(axis=tuple(range(whole.ndim - 1)))
    assert (difference <= 0.05 * largest).all()
    assert difference.max() > 0
    assert smaller.ByteSize() < 0.45 * model.ByteSize()
    assert {entry.name for entry in smaller.graph.initializer}.isdisjoint({"w", "r"})


def test_small_weights_and_other_operands_stay_as_they_are() -> None:
    for node, weights in (
        (helper.make_node("MatMul", ["x", "w"], ["y"]), [("w", np.ones((8, 8)))]),
        (helper.make_node("MatMul", ["x", "x"], ["y"]), []),
    ):
        found = quantized_model(model_of(node, *weights))
        assert [each.op_type for each in found.graph.node] == ["MatMul"]


def test_a_product_adds_its_bias_itself() -> None:
    draw = np.random.default_rng(1)
    arrays = ("w", draw.normal(size=(64, 128))), ("b", draw.normal(size=128))
    model = model_of(helper.make_node("MatMul", ["x", "w"], ["p"]), *arrays)
    model.graph.node.append(helper.make_node("Add", ["b", "p"], ["y"]))
    given = draw.normal(size=(5, 64)).astype("float32")

    smaller = quantized_model(model)

    assert [node.op_type for node in smaller.graph.node] == ["DynamicQuantizeMatMul"]
    (whole,), (found,) = (session(each).run(None, {"x": given}) for each in (model, smaller))
    np.testing.assert_allclose(found, whole, atol=0.02 * np.abs(whole).max())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Translator, Path]:
    translator = tiny_translator("char", "word", search=BeamSearch(3, max_length=8), units=64)
    folder = tmp_path_factory.mktemp("onnx")
    artefacts = write_onnx(
        translator, onnx_plan(translator), folder, lambda message: None, int8=True
    )
    assert not any("int8" in artefact.name for artefact in artefacts)  # it need not be equal
    return translator, folder


def test_every_file_has_an_int8_form_and_loops_hold_no_large_float_product(
    made: tuple[Translator, Path],
) -> None:
    names = {path.name for path in made[1].iterdir()}
    assert names == {
        f"{name}{mark}.onnx"
        for name in ("model", "model.ids", "greedy.ids", "encoder", "decoder_step")
        for mark in ("", ".int8")
    }
    model = onnx.load(made[1] / "model.ids.int8.onnx")
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    kinds = [node.op_type for body in bodies(loop) for node in body.node]
    constants = {constant.name for constant in model.graph.initializer}
    products = [n for body in bodies(loop) for n in body.node if n.op_type == "MatMul"]
    assert kinds.count("DynamicQuantizeMatMul") >= 3
    assert not any(node.input[1] in constants for node in products)
    assert "DynamicQuantizeLSTM" in {node.op_type for node in nodes(model.graph)}
    # Values are projected before the loop.
    (projection,) = (n for n in model.graph.node if n.name.endswith("memory_values_projection"))
    assert projection.op_type == "DynamicQuantizeMatMul"


def test_gru_layers_in_both_directions_are_close_and_their_file_opens(tmp_path: Path) -> None:
    translator = tiny_translator(
        "char", "word", search=BeamSearch(2, max_length=8), cell="gru", depth=2, units=64
    )
    parts = model_parts(translator)
    inputs = {"input_ids": [[5, 6, 7, 8, 9, 3], [9, 8, 3, 0, 0, 0]], "input_lengths": [6, 3]}
    feeds = {name: np.array(rows) for name, rows in inputs.items()}
    whole, found = (
        session(each.encoder).run(["memory_values"], feeds)[0] for each in (parts, quantized(parts))
    )
    assert 0 < np.abs(found - whole).mean() < 0.05  # of states between −1 and 1

    write_int8(translator, tmp_path / "model.int8.onnx")
    assert len(outputs_of(tmp_path / "model.int8.onnx", texts(9))) == 9


def test_quality_is_measured_against_references(made: tuple[Translator, Path]) -> None:
    translator, folder = made
    given = texts(40)
    expected = translator(given)

    found = compare_quality(
        folder / "model.onnx", folder / "model.int8.onnx", given, [t or "-" for t in expected]
    )

    assert found["exact_match"][0] > 90  # the references are what float32 says
    assert 0.2 < found["same_outputs"] < 1  # random weights, so calls are close
    assert found["exact_match"][1] <= 100 * found["same_outputs"]
    assert found["drop"] > 0
    assert found["megabytes"][1] < found["megabytes"][0]
    assert "| BLEU |" in "\n".join(quality_lines(found))
    with pytest.raises(ExportError, match=r"worse by \d+\.\d+ points, more than the 1 allowed"):
        check_quality(found, 1.0)
    check_quality(found, math.inf)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"quantize": "int4"}, "must be 'int8' or None"),
        ({"formats": ["serving"]}, "with 'onnx' among the formats"),
        ({"references": None}, "or int8_drop=inf"),
        ({"references": ["a", "b"]}, "one reference for each .* 1 sentences and 2 references"),
        ({"limit": -1.0}, "`int8_drop` must be a number from 0 on"),
        ({"limit": math.nan}, "`int8_drop` must be a number from 0 on"),
        ({"quantize": None}, "`references` are what int8 models are held against"),
    ],
)
def test_wishes_that_do_not_fit_are_refused(wishes: dict[str, Any], message: str) -> None:
    fitting = {"quantize": "int8", "formats": ["onnx"], "sentences": ["x"], "references": ["y"]}
    check_quantization(**fitting, limit=1.0)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=message):
        check_quantization(**{"limit": 1.0, **fitting, **wishes})


@pytest.mark.thorough
def test_a_search_that_is_converted_whole_has_no_int8_form(tmp_path: Path) -> None:
    translator = tiny_translator("char", "word", search=GreedySearch(3, no_repeat_ngram=2))

    with pytest.raises(ExportError, match="8-bit models need greedy or beam search"):
        write_onnx(translator, onnx_plan(translator), tmp_path, lambda message: None, int8=True)
