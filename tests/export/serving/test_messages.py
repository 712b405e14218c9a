"""The messages that this package declares equal those of TensorFlow on the wire."""

import doctest
import subprocess
import sys

import pytest
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from keras_s2s.export.serving import messages
from keras_s2s.export.serving.session import read_signatures
from support.served import Served


def test_fields_are_those_of_tensorflow() -> None:
    theirs = meta_graph_pb2.MetaGraphDef()
    signature = theirs.signature_def["beam"]
    signature.inputs["text"].name = "serve_text:0"
    signature.inputs["text"].dtype = 7
    signature.inputs["text"].tensor_shape.dim.add(size=-1)
    signature.outputs["scores"].name = "scores:1"
    signature.outputs["scores"].tensor_shape.unknown_rank = True
    theirs.signature_def["__saved_model_init_op"].outputs["none"].name = "NoOp"

    ours = read_signatures(theirs.SerializeToString())

    assert ours == {
        "beam": ({"text": ("serve_text", 0, 7, (-1,))}, {"scores": ("scores", 1, 0, None)})
    }


def test_operators_are_those_of_tensorflow() -> None:
    theirs = op_def_pb2.OpList()
    theirs.op.add(name="Add").attr.add(name="T")

    ours = messages.OpList.FromString(theirs.SerializeToString())

    assert [(op.name, [attr.name for attr in op.attr]) for op in ours.op] == [("Add", ["T"])]


def test_signatures_of_a_file_are_those_that_tensorflow_reads(served_words: Served) -> None:
    content = (served_words.folder / "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs

    assert served_words.session.signatures == read_signatures(meta_graph.SerializeToString())
    names = set(meta_graph.signature_def) - {"__saved_model_init_op"}
    assert set(served_words.session.signatures) == names


def test_messages_are_read_without_tensorflow() -> None:
    loaded = "import sys, keras_s2s.export.serving.messages"
    code = f"{loaded}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_field_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"A field of M must be written .*; got 'int64 = 1'"):
        messages.classes_of({"M": "int64 = 1"})


def test_examples_in_the_documentation() -> None:
    found = doctest.testmod(messages)
    assert found.attempted > 0
    assert found.failed == 0
