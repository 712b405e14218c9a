"""SavedModels: the signature that servers find, equal texts for any bytes, no rare operators."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from translators import texts, tiny_translator

from keras_s2s.export import saved_model
from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model import load_saved_model, write_saved_model
from keras_s2s.search import GreedySearch
from keras_s2s.translator import Translator

PAIRS = [("char", "word"), ("unigram", "bpe")]


class Exported(NamedTuple):
    translator: Translator
    folder: Path
    run: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]

    def serve(self, given: list[bytes]) -> list[str]:
        outputs = self.run({"text": tf.constant(given, tf.string)})
        return [text.decode("utf-8") for text in outputs["translation"]]


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    cell = "gru" if request.param == PAIRS[0] else "lstm"
    translator = tiny_translator(*request.param, cell=cell)
    folder = tmp_path_factory.mktemp("serving") / "1"
    write_saved_model(translator, folder)
    return Exported(translator, folder, load_saved_model(folder))


def translated(translator: Translator, given: list[str]) -> list[str]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")
        return translator(given)


def test_signature_is_text_to_translation(exported: Exported) -> None:
    loaded = tf.saved_model.load(str(exported.folder))
    serve = loaded.signatures["serving_default"]

    assert list(loaded.signatures) == ["serving_default"]
    (entry,) = serve.structured_input_signature[1].values()
    assert (entry.name, entry.dtype, entry.shape.as_list()) == ("text", tf.string, [None])
    (name, output), *rest = serve.structured_outputs.items()
    assert (name, output.dtype, output.shape.rank, rest) == ("translation", tf.string, 1, [])


def test_texts_are_those_of_the_translator(exported: Exported) -> None:
    translator = exported.translator
    given = [*texts(20), "", " ", "the cat " * 50, "nothing known: ж", "a\0b"]

    found = exported.serve([text.encode() for text in given])

    assert found == translated(translator, given)
    assert len(set(found)) > 5  # not the same for everything


def test_bytes_that_are_no_utf8_are_served(exported: Exported) -> None:
    translator = exported.translator
    given = [b"the \xff\xfe cat", b"\xe7", b"caf\xc3", b"the cat"]

    assert exported.serve(given) == translated(
        translator, [text.decode("utf-8", "surrogateescape") for text in given]
    )


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_any_batch_size_is_served(exported: Exported, batch: int) -> None:
    translator = exported.translator
    given = texts(batch)

    assert exported.serve([text.encode() for text in given]) == translator(given)


def test_longer_text_than_the_limit_is_cut_as_the_translator_cuts_it(
    exported: Exported,
) -> None:
    translator = exported.translator
    tokenizer = translator.source_tokenizer
    room = translator.max_source_length - 1
    long = "the cat sat on the mat and looked at the dog"
    kept = tokenizer.encode([long])[0][:room]
    assert len(kept) == room

    cut = tokenizer.decode([kept])[0]
    if tokenizer.encode([cut])[0] == kept:  # SentencePiece may split the shorter text otherwise
        assert exported.serve([long.encode(), cut.encode()]) == [translator(cut)] * 2
    assert exported.serve([long.encode()]) == translated(translator, [long])


def test_a_program_without_keras_s2s_can_load_and_run_it(tmp_path: Path) -> None:
    translator = tiny_translator("unigram", "bpe")
    write_saved_model(translator, tmp_path / "1")
    program = (
        "import sys, tensorflow as tf, tensorflow_text\n"
        "serve = tf.saved_model.load('1').signatures['serving_default']\n"
        "sys.stdout.buffer.write(serve(tf.constant(['the cat']))['translation'].numpy()[0])\n"
        "assert not any(name.startswith('keras_s2s') for name in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, cwd=tmp_path
    )

    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout.decode() == translator("the cat")


def test_operators_are_in_every_stock_server(exported: Exported) -> None:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((exported.folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    found = [node for function in graph.library.function for node in function.node_def]

    assert len(found) > 100
    beyond_tensorflow = {node.op for node in found if not hasattr(tf.raw_ops, node.op)}
    assert beyond_tensorflow <= {
        "SentencepieceOp",
        "SentencepieceTokenizeOp",
        "SentencepieceDetokenizeOp",
    }
    assert not any(
        attribute.b
        for function in graph.library.function
        for name, attribute in function.attr.items()
        if name == "_XlaMustCompile"
    )


def test_an_operator_that_servers_lack_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = tiny_translator("char", "char", search=GreedySearch(4))
    step = translator.model.step

    def step_in_python(tokens: tf.Tensor, state: object, memory: object) -> object:
        logits, state, weights = step(tokens, state, memory)
        (slow,) = tf.numpy_function(lambda x: x, [logits], [tf.float32])
        slow.set_shape(logits.shape)
        return slow, state, weights

    monkeypatch.setattr(translator.model, "step", step_in_python)
    with pytest.raises(ExportError, match="stock TensorFlow Serving lacks: PyFunc"):
        write_saved_model(translator, tmp_path / "1")


def test_a_folder_without_the_signature_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))

    with pytest.raises(ExportError, match="must have the signature 'serving_default'"):
        saved_model.load_saved_model(tmp_path / "1")
