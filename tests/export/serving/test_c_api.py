"""The C API gives the same results as Python, in a program that never imports TensorFlow."""

from pathlib import Path

import numpy as np
import pytest

from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model.files import LoadedModel
from keras_s2s.export.saved_model.version import replay_warmup
from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.process import RemoteSession, from_json, to_json
from support.served import Served, late_libraries, strings
from support.translators import texts


def inputs_of(served: Served, name: str) -> dict[str, np.ndarray]:
    if name == "ids":
        return {
            "input_ids": np.array([[5, 6, 3, 9], [4, 3, 1, 1]], np.int32),
            "input_lengths": np.array([3, 2], np.int32),
        }
    return {"text": strings([b"the cat", b"", b"a\0\xff", *(t.encode() for t in texts(4))])}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_every_signature_gives_what_python_gives(kind: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(f"served_{kind}")
    loaded = LoadedModel(served.folder)
    for name in served.session.signatures:
        given = inputs_of(served, name)
        expected = loaded.signature(name)(given)
        found = served.session.run(name, given)

        assert set(found) == set(expected)
        for key, array in expected.items():
            assert found[key].dtype == array.dtype
            assert found[key].shape == array.shape
            if array.dtype.kind == "f":
                np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[key], array)


def test_outputs_can_be_chosen_as_over_grpc(served_words: Served) -> None:
    found = served_words.session.run("beam", {"text": strings([b"a"])}, outputs=["lengths"])

    assert list(found) == ["lengths"]


def test_what_tensorflow_says_is_raised_and_the_session_lives_on(served_words: Served) -> None:
    with pytest.raises(StatusError, match="is not compatible with expected shape") as caught:
        served_words.session.run("serving_default", {"text": strings([b"a"])[None]})

    assert caught.value.code == 3
    assert served_words.texts([b"the cat"]) == [served_words.translator("the cat")]


@pytest.mark.parametrize(
    ("signature", "name", "outputs", "message"),
    [
        ("nothing", "text", None, 'signature key "nothing" not found'),
        (
            "ids",
            "text",
            None,
            "Sent extra: {text}. Missing but required: {input_ids, ",
        ),
        ("beam", "text", ["scores", "loss"], "alias not found in signature: loss"),
    ],
)
def test_names_that_are_not_declared_are_refused_as_a_server_does(
    served_words: Served, signature: str, name: str, outputs: list[str] | None, message: str
) -> None:
    with pytest.raises(StatusError) as caught:
        served_words.session.run(signature, {name: strings([b"a"])}, outputs)
    assert message in str(caught.value)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="Could not find SavedModel"):
        RemoteSession(tmp_path)


def test_libraries_that_are_not_there_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"ended with code 1 and said: OSError: .*libtensorflow"):
        RemoteSession(tmp_path, tmp_path)


def test_a_program_that_imports_tensorflow_is_refused(
    served_words: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python runs this module before any program.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys, types\n"
        "module = types.ModuleType('tensorflow')\n"
        "module.__spec__ = importlib.util.find_spec('tensorflow')\n"
        "sys.modules['tensorflow'] = module\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(ExportError, match="its process imported TensorFlow"):
        RemoteSession(served_words.folder)


def test_arrays_travel_bit_by_bit() -> None:
    arrays = {
        "a": strings([b"\xff\0", "猫".encode(), b""]).reshape(3, 1),
        "b": np.array([[np.nan, -np.inf, 1e-45]], np.float32),
        "c": np.zeros((0, 3), np.int32),
    }
    found = from_json(to_json(arrays))

    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tolist() == array.tolist() or name == "b"
    assert found["b"].tobytes() == arrays["b"].tobytes()


# TensorFlow 2.20.0's libraries: the wheels nearest to a stock TensorFlow Serving 2.20.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "pieces"])
def test_tensorflow_2_20_serves_the_same(
    kind: str, request: pytest.FixtureRequest, tensorflow_2_20: Path
) -> None:
    served: Served = request.getfixturevalue(f"served_{kind}")
    with RemoteSession(served.folder, tensorflow_2_20, late_libraries("2.20")) as session:
        assert session.version == "2.20.0"
        assert replay_warmup(session, served.folder) == 16
        for name in session.signatures:
            given = inputs_of(served, name)
            expected = served.session.run(name, given)
            found = session.run(name, given)
            for key, array in expected.items():
                if array.dtype.kind == "f":
                    # Other kernels, other rounding; over at most eight tokens.
                    np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(found[key], array)


@pytest.mark.slow
def test_an_older_servers_text_operators_are_enough(
    served_pieces: Served, tensorflow_2_20: Path
) -> None:
    with RemoteSession(served_pieces.folder, tensorflow_2_20, late_libraries("2.12")) as session:
        found = session.run("serving_default", {"text": strings([b"the cat"])})

    assert [text.decode() for text in found["translation"]] == [served_pieces.translator("the cat")]


@pytest.mark.slow
def test_a_server_without_sentencepiece_says_so(
    served_pieces: Served, tensorflow_2_20: Path
) -> None:
    with pytest.raises(StatusError, match="Op type not registered 'SentencepieceOp'"):
        RemoteSession(served_pieces.folder, tensorflow_2_20, ["sentencepiece_tokenizer"])
