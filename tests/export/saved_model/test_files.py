"""A SavedModel gives the outputs of the translator through the C API, for any bytes."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model import files as saved_model
from keras_s2s.export.saved_model.files import LoadedModel, write_saved_model
from keras_s2s.export.specs.signatures import LOWEST, beam_search, signature_specs
from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.translation.translator import Translator
from support.served import NAMES, WIDTH, Served, planned, strings
from support.translators import texts, tiny_translator


@pytest.fixture(params=["words", "pieces"])
def served(request: pytest.FixtureRequest) -> Served:
    found: Served = request.getfixturevalue(f"served_{request.param}")
    return found


def translated(translator: Translator, given: list[str]) -> list[str]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")
        return translator(given)


def test_signatures_are_those_declared(served_words: Served) -> None:
    loaded = tf.saved_model.load(str(served_words.folder))
    specs = signature_specs(served_words.translator, served_words.beam)

    assert sorted(loaded.signatures) == sorted(served_words.session.signatures) == sorted(NAMES)
    for name, spec in specs.items():
        signature = loaded.signatures[name]
        given = signature.structured_input_signature[1]
        for values, found in ((spec.inputs, given), (spec.outputs, signature.structured_outputs)):
            assert {value.name for value in values} == set(found)
            for value in values:
                tensor = found[value.name]
                assert tensor.dtype.name == value.dtype
                assert tensor.shape.rank == len(value.axes) >= 1
                assert value.axes[0].name == "batch"
                assert not value.name.endswith("_bytes")


@pytest.mark.quick_cases(1)
def test_outputs_keep_to_the_declaration(served: Served) -> None:
    specs = signature_specs(served.translator, served.beam)
    for name, spec in specs.items():
        for batch, length in ((0, 1), (1, 1), (3, 12), (5, 7)):
            inputs = spec.sample(batch, length, seed=batch)
            given = {
                key: strings([text.encode() for text in array]) if array.dtype == object else array
                for key, array in inputs.items()
            }
            assert spec.objections(given, served.session.run(name, given)) == []


@pytest.mark.thorough
@pytest.mark.quick_cases(1)
def test_texts_are_those_of_the_translator(served: Served) -> None:
    translator = served.translator
    given = [*texts(20), "", " ", "the cat " * 50, "nothing known: ж", "a\0b"]

    found = served.texts([text.encode() for text in given])

    assert found == translated(translator, given)
    assert len(set(found)) > 5  # not the same for everything


@pytest.mark.quick_cases(1)
def test_beam_gives_every_hypothesis_of_the_translators_beam(served: Served) -> None:
    other = served.translator.copy()
    other.search = served.beam
    given = texts(9)

    found = served.session.run("beam", {"text": strings([text.encode() for text in given])})

    assert found["scores"].shape == (9, WIDTH)
    for row, expected in enumerate(other.translate(given)):
        assert [text.decode() for text in found["translations"][row]] == [
            each.text for each in expected
        ]
        # Rounding of a sum over at most eight tokens.
        np.testing.assert_allclose(
            found["scores"][row], [each.score for each in expected], rtol=1e-5
        )
        assert found["lengths"][row].tolist() == [len(each.ids) for each in expected]


@pytest.mark.quick_cases(1)
def test_alignments_are_those_of_the_translator(served: Served) -> None:
    given = ["", *texts(6)]

    found = served.session.run("alignments", {"text": strings([text.encode() for text in given])})

    for row, text in enumerate(given):
        expected = served.translator.align(text)
        rows, columns = len(expected.target), len(expected.source)
        tokens = [token.decode() for token in found["tokens"][row]]
        source = [token.decode() for token in found["source_tokens"][row]]
        assert tokens == [*expected.target, *[""] * (len(tokens) - rows)]
        assert source == [*expected.source, *[""] * (len(source) - columns)]
        weights = found["weights"][row]
        np.testing.assert_allclose(weights[:rows, :columns], expected.weights, atol=1e-6)
        assert not weights[rows:].any()
        assert not weights[:, columns:].any()


def test_bytes_that_are_no_utf8_are_served(served: Served) -> None:
    given = [b"the \xff\xfe cat", b"\xe7", b"caf\xc3", b"the cat"]

    assert served.texts(given) == translated(
        served.translator, [text.decode("utf-8", "surrogateescape") for text in given]
    )


def test_a_text_of_100_kilobytes_is_served_beside_a_short_one(served: Served) -> None:
    long = ("the cat sat " * 9000).encode()[:100_000]

    assert served.texts([long, b"a"]) == translated(served.translator, [long.decode(), "a"])


def test_ids_outside_the_vocabulary_and_padding_read_as_unknown(served_words: Served) -> None:
    def run(rows: list[list[int]]) -> np.ndarray:
        ids = np.array(rows, np.int32)
        lengths = np.full(len(rows), ids.shape[1], np.int32)
        return served_words.session.run("ids", {"input_ids": ids, "input_lengths": lengths})[
            "scores"
        ]

    size = served_words.translator.source_tokenizer.vocabulary_size
    found = run([[5, 1, 6, 3], [5, -1, 6, 3], [5, size, 6, 3], [5, 0, 6, 3], [5, 7, 6, 3]])

    np.testing.assert_array_equal(found[:4], np.repeat(found[:1], 4, axis=0))
    assert not np.array_equal(found[4], found[0])


def test_scores_are_finite_where_there_is_no_hypothesis(tmp_path: Path) -> None:
    # Two tokens can begin an output of one token in fewer ways than the beam is wide.
    translator = tiny_translator("char", "word", search=GreedySearch(1))
    write_saved_model(planned(translator, beam_search(translator.search, 20)), tmp_path / "1")
    run = LoadedModel(tmp_path / "1").signature("beam")

    found = run({"text": np.array(["a"], object)})

    empty = found["lengths"] == 0
    assert empty.any()
    assert (found["scores"][empty] == np.float32(LOWEST)).all()
    assert np.isfinite(found["scores"]).all()
    assert set(found["translations"][empty]) == {b""}


def test_the_beam_is_the_translators_own_or_five_wide() -> None:
    own = beam_search(BeamSearch(3, max_length=9, no_repeat_ngram=2), None)
    greedy = beam_search(GreedySearch(9, min_length=2), None)
    one = beam_search(GreedySearch(9), 1)

    assert (own.width, own.n_best, own.max_length, own.no_repeat_ngram) == (3, 3, 9, 2)
    assert (greedy.width, greedy.n_best, greedy.max_length, greedy.min_length) == (5, 5, 9, (0, 2))
    assert (one.width, one.n_best) == (1, 1)


@pytest.mark.thorough
def test_a_program_without_keras_s2s_can_load_and_run_it(served_pieces: Served) -> None:
    program = (
        "import sys, tensorflow as tf, tensorflow_text\n"
        "serve = tf.saved_model.load('7').signatures['serving_default']\n"
        "sys.stdout.buffer.write(serve(tf.constant(['the cat']))['translation'].numpy()[0])\n"
        "assert not any(name.startswith('keras_s2s') for name in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        cwd=served_pieces.folder.parent,
    )

    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout.decode() == served_pieces.translator("the cat")


@pytest.mark.thorough
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
    with pytest.raises(ExportError, match=r"stock TensorFlow Serving 2\.20 lacks: PyFunc"):
        write_saved_model(planned(translator), tmp_path / "1")


def test_a_folder_without_the_signature_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))

    with pytest.raises(ExportError, match="must have the signature 'serving_default'"):
        LoadedModel(tmp_path / "1").signature()


def test_no_layer_is_traced_for_one_kind_of_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_s2s.export import tracing

    class Doubled(tf.Module):
        """A model that somebody wrote with Keras' own LSTM."""

    import keras

    # What Keras asks to find out whether there is a GPU.
    real = tf.config.list_logical_devices

    def with_gpu(kind: Any = None) -> Any:
        return ["GPU:0"] if kind == "GPU" else real(kind)

    layer = keras.layers.LSTM(4)
    model = keras.Sequential([keras.Input((3, 2)), layer])
    monkeypatch.setattr(tf.config, "list_logical_devices", with_gpu)

    def written(folder: Path, run: Any) -> Path:
        module = Doubled()
        module.weights = [variable.value for variable in model.variables]
        specs = [tf.TensorSpec([None, 3, 2], tf.float32, name="x")]
        function = tf.function(lambda x: {"y": run(x)}, input_signature=specs)
        tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
        return folder

    with pytest.raises(ExportError, match="lacks: CudnnRNNV3"):
        saved_model.check_operators(written(tmp_path / "gpu", model))

    with tracing.without_cudnn(model):
        saved_model.check_operators(written(tmp_path / "any", model))
    assert layer.use_cudnn == "auto"  # as it was
