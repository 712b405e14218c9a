"""Tests of the repository for Triton: its layout, its shapes, and the model at these shapes."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from keras_s2s.export.serving.triton import triton_config, write_triton
from support.served import Exported
from support.translators import texts


def test_the_model_is_the_one_of_the_onnx_folder(exported_cats: Exported) -> None:
    folder = exported_cats.folder
    model = folder / "triton" / "cats" / "1" / "model.onnx"

    assert model.samefile(folder / "onnx" / "model.onnx")  # kept once
    assert (folder / "triton/cats/config.pbtxt").read_text() == triton_config(
        "cats", 1, extensions=False
    )


def test_a_batch_in_triton_shape_reaches_the_graph_in_its_own(exported_cats: Exported) -> None:
    config = (exported_cats.folder / "triton/cats/config.pbtxt").read_text()
    values = re.findall(r'name: "(\w+)" data_type: (\w+) dims: \[ 1 \] reshape', config)
    session = onnxruntime.InferenceSession(exported_cats.folder / "triton/cats/1/model.onnx")
    declared = {value.name: value for value in (*session.get_inputs(), *session.get_outputs())}
    given = texts(5)

    assert values == [("text", "TYPE_STRING"), ("translation", "TYPE_STRING")]
    for name, _ in values:
        assert declared[name].type == "tensor(string)"
        assert declared[name].shape == ["batch"]
    assert [value.name for value in session.get_inputs()] == ["text"]  # all that is needed
    # What clients send is [batch, 1]; `reshape` takes the 1 away.
    sent = np.array(given, object)[:, None]
    (found,) = session.run(["translation"], {"text": sent.reshape(len(sent))})
    assert found.tolist() == exported_cats.translator(given)


def test_extensions_are_named_where_they_are_needed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    write_triton(tmp_path / "model.onnx", tmp_path / "triton", "m", 3, extensions=True)

    config = (tmp_path / "triton/m/config.pbtxt").read_text()
    assert 'op_library_filename: "libortextensions.so"' in config
    assert (tmp_path / "triton/m/3/model.onnx").read_bytes() == b"model"
    assert "op_library_filename" not in triton_config("m", 3, extensions=False)


@pytest.mark.slow
def test_the_class_of_triton_reads_the_configuration() -> None:
    package = importlib.util.find_spec("tritonclient")
    if package is None or package.origin is None:
        pytest.skip("needs tritonclient, which this library does without")
    from google.protobuf import text_format

    # The file alone: its package also wants everything that a client does.
    path = Path(package.origin).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    kinds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kinds)
    found = text_format.Parse(triton_config("m", 3, extensions=True), kinds.ModelConfig())
    assert (found.name, found.backend, found.max_batch_size) == ("m", "onnxruntime", 32)
    assert list(found.input[0].dims) == [1]
    assert list(found.input[0].reshape.shape) == []
    assert list(found.version_policy.specific.versions) == [3]
