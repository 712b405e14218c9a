"""The lists of operators are those of the libraries, and the check names each missing operator."""

from pathlib import Path

import pytest
import tensorflow as tf

from keras_s2s.export.errors import ExportError
from keras_s2s.export.serving import registry
from keras_s2s.export.serving.c_api import Library
from keras_s2s.export.serving.registry import (
    Use,
    check_operators,
    check_server,
    missing_operators,
    operators,
    operators_in,
)
from support.served import Served, late_libraries


def written(folder: Path, function: object, *specs: tf.TensorSpec) -> Path:
    run = tf.function(function, input_signature=list(specs))
    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": run})
    return folder


def test_the_installed_library_has_the_operators_of_the_list() -> None:
    library = Library()
    known = operators("2.21")
    assert library.version.startswith("2.21.")
    found = {name: frozenset(own) for name, own in library.operators().items()}

    # Keras and TensorFlow Text of this process may have registered more, never less.
    assert {name: found.get(name) for name in known} == known


def test_servers_differ_where_tensorflow_and_text_do() -> None:
    old, now, new = (operators(server) for server in ("2.12", "2.20", "2.21"))

    assert "Tshape" in new["TensorListGetItem"]
    assert "Tshape" not in now["TensorListGetItem"]
    assert "DecodeWebP" in now
    assert "DecodeWebP" not in operators("2.19")
    assert "TFText>Utf8Binarize" in now
    assert "TFText>Utf8Binarize" not in old
    assert {"SentencepieceTokenizeOp", "TFText>WhitespaceTokenizeWithOffsetsV2"} <= set(old)
    assert operators("2.14") == operators("2.12.1") == old
    assert late_libraries("2.19") == ["trimmer_ops", "utf8_binarize_op"]
    assert late_libraries("2.20") == []


def test_an_older_server_lacks_an_attribute_of_variables(served_words: Served) -> None:
    # TensorFlow 2.12 had no `debug_name`; a server of that age says "NodeDef mentions attr".
    with pytest.raises(ExportError, match="VarHandleOp with the attribute debug_name"):
        check_operators(served_words.folder, "2.12")


@pytest.mark.parametrize("server", ["2.16", "2.20", "2.21"])
def test_exports_run_on_every_server_that_is_known(
    served_words: Served, served_pieces: Served, server: str
) -> None:
    for served in (served_words, served_pieces):
        check_operators(served.folder, server)
        uses = list(operators_in((served.folder / "saved_model.pb").read_bytes()))
        assert len(uses) > 500
        # Signatures are run, not trained, and on any machine.
        assert not {use.operator for use in uses} & {"PyFunc", "EagerPyFunc", "CudnnRNNV3"}


def test_operators_of_text_are_used_only_by_sentencepiece(
    served_words: Served, served_pieces: Served
) -> None:
    beyond = [
        {
            use.operator
            for use in operators_in((served.folder / "saved_model.pb").read_bytes())
            if not hasattr(tf.raw_ops, use.operator)
        }
        for served in (served_words, served_pieces)
    ]

    assert beyond[0] == set()
    assert beyond[1] == {
        *("SentencepieceOp", "SentencepieceTokenizeOp", "SentencepieceDetokenizeOp"),
    }


def test_a_python_function_is_refused_inside_a_loop(tmp_path: Path) -> None:
    def run(x: tf.Tensor) -> dict[str, tf.Tensor]:
        def body(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            (y,) = tf.numpy_function(lambda a: a, [x], [tf.float32])
            return i + 1, tf.ensure_shape(y, [None])

        return {"y": tf.while_loop(lambda i, x: i < 2, body, (0, x))[1]}

    folder = written(tmp_path / "1", run, tf.TensorSpec([None], tf.float32, name="x"))

    with pytest.raises(ExportError, match=r"TensorFlow Serving 2\.12 lacks: PyFunc\. Write"):
        check_operators(folder, "2.12")


def test_an_operator_and_an_attribute_of_a_newer_tensorflow_are_named(tmp_path: Path) -> None:
    def new(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"pixels": tf.raw_ops.DecodeWebP(contents=image)}

    def attribute(x: tf.Tensor) -> dict[str, tf.Tensor]:
        listed = tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=tf.constant([2], tf.int64))
        shape = tf.constant([2], tf.int64)
        item = tf.raw_ops.TensorListGetItem(
            input_handle=listed, index=0, element_shape=shape, element_dtype=tf.float32
        )
        return {"y": item[None]}

    first = written(tmp_path / "1", new, tf.TensorSpec([], tf.string, name="image"))
    second = written(tmp_path / "2", attribute, tf.TensorSpec([None, 2], tf.float32, name="x"))

    check_operators(first, "2.20")
    with pytest.raises(ExportError, match=r"2\.19 lacks: DecodeWebP\."):
        check_operators(first, "2.19")
    check_operators(second, "2.21")
    with pytest.raises(ExportError, match="TensorListGetItem with the attribute Tshape"):
        check_operators(second, "2.20")


def test_xla_is_refused(tmp_path: Path) -> None:
    @tf.function(jit_compile=True)
    def compiled(x: tf.Tensor) -> tf.Tensor:
        return x + 1

    folder = written(
        tmp_path / "1", lambda x: {"y": compiled(x)}, tf.TensorSpec([None], tf.float32, name="x")
    )

    found = missing_operators((folder / "saved_model.pb").read_bytes())
    assert any("_XlaMustCompile" in phrase for phrase in found)


def test_operators_of_text_that_came_late_are_refused_for_older_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = [Use("TFText>RoundRobinTrim", ()), Use("Add", ("T", "_output_shapes"))]
    monkeypatch.setattr(registry, "operators_in", lambda saved_model: iter(used))

    assert missing_operators(b"", "2.20") == []
    assert missing_operators(b"", "2.19") == ["TFText>RoundRobinTrim"]


@pytest.mark.parametrize("server", ["", "2", "2.11", "3.0", "latest", "2.x"])
def test_an_unknown_server_is_refused(server: str) -> None:
    with pytest.raises(ValueError, match=r"from 2\.12 to 2\.21; got"):
        check_server(server)
