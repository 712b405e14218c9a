"""The ONNX form of the tokenizers equals the Python form, in ONNX Runtime.

TensorFlow and onnxruntime-extensions crash when one process holds both, so the graphs run in
another process, which has neither TensorFlow nor Keras.
"""

import base64
import doctest
import json
import random
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import helper

from keras_s2s.export.onnx import tokenizers as strings
from keras_s2s.export.onnx.graph import nodes
from keras_s2s.export.onnx.tokenizers import decode_model, encode_model
from keras_s2s.text import CharTokenizer, Tokenizer, WordTokenizer, valid_text
from support.texts import KINDS, LINES, NASTY, WORDS, trained

# Reads {"model", "extensions", "feeds": [{"dtype", "shape", "values"}]}; prints an answer per feed.
RUNNER = """
import base64, json, sys
import numpy as np
import onnxruntime

job = json.load(sys.stdin)
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
if job["extensions"]:
    import onnxruntime_extensions
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
model = base64.b64decode(job["model"])
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
answers = []
for feed in job["feeds"]:
    values = feed["values"]
    dtype = feed["dtype"]
    if dtype == "bytes":
        values = [base64.b64decode(value) for value in values]
        # ONNX Runtime 1.32 reads to the next NUL, so the longest text needs one behind it too.
        dtype = f"S{max(map(len, values), default=0) + 1}"
    array = np.array(values, dtype)
    try:
        [found] = session.run(None, {session.get_inputs()[0].name: array.reshape(feed["shape"])})
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument as error:
        answers.append({"error": str(error)})
    else:
        dtype, shape, values = str(found.dtype), list(found.shape), found.ravel().tolist()
        answers.append({"dtype": dtype, "shape": shape, "values": values})
assert "tensorflow" not in sys.modules
json.dump(answers, sys.stdout)
"""


def run(model: onnx.ModelProto, feeds: list[np.ndarray]) -> list[dict[str, Any]]:
    """What ONNX Runtime answers; the extension library is loaded for models that import it."""
    domains = {imported.domain for imported in model.opset_import}
    job = {
        "model": base64.b64encode(model.SerializeToString()).decode(),
        "extensions": "ai.onnx.contrib" in domains,
        "feeds": [as_feed(feed) for feed in feeds],
    }
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input=json.dumps(job), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def as_feed(array: np.ndarray) -> dict[str, Any]:
    dtype, values = str(array.dtype), array.ravel().tolist()
    if array.dtype.kind == "S":
        dtype, values = "bytes", [base64.b64encode(value).decode() for value in values]
    return {"dtype": dtype, "shape": list(array.shape), "values": values}


def text_array(texts: list[str]) -> np.ndarray:
    return np.array(texts, dtype=object)


def expected_ids(tokenizer: Tokenizer, texts: list[str], max_length: int) -> np.ndarray:
    rows = [[*row[: max_length - 1], tokenizer.end_id] for row in tokenizer.encode(texts)]
    width = max(map(len, rows), default=1)
    return np.array([row + [0] * (width - len(row)) for row in rows], np.int32).reshape(-1, width)


def random_texts(count: int) -> list[str]:
    chosen = random.Random(11)
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    parts = [*WORDS, *" \t\n\0", *chosen.choices(points, k=100)]
    return ["".join(chosen.choices(parts, k=chosen.randint(0, 9))) for _ in range(count)]


# ONNX text is UTF-8, and no operator repairs it: the caller does, as Tokenizer.encode does.
TEXTS = [text if text.isascii() else valid_text(text) for text in NASTY]


@pytest.mark.parametrize("kind", KINDS)
def test_encode_model_equals_python(kind: str) -> None:
    tokenizer = trained(kind)
    several = [TEXTS, random_texts(200), list(LINES[:7]), ["the cat"], ["\0", ""], [""], []]
    longest = 100_000
    answers = run(encode_model(tokenizer, max_length=longest), [text_array(t) for t in several])
    for texts, answer in zip(several, answers, strict=True):
        expected = expected_ids(tokenizer, texts, longest)
        assert answer["dtype"] == "int32"
        assert answer["shape"] == list(expected.shape)
        assert answer["values"] == expected.ravel().tolist()


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("max_length", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_encode_model_cuts_and_ends_as_python(kind: str, max_length: int) -> None:
    tokenizer = trained(kind)
    several = [TEXTS, ["the"], [""], []]
    answers = run(encode_model(tokenizer, max_length=max_length), [text_array(t) for t in several])
    for texts, answer in zip(several, answers, strict=True):
        expected = expected_ids(tokenizer, texts, max_length)
        assert answer["shape"] == list(expected.shape)
        assert answer["values"] == expected.ravel().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_decode_model_equals_python(kind: str) -> None:
    tokenizer = trained(kind)
    chosen = np.random.default_rng(5)
    feeds = [
        chosen.integers(0, tokenizer.vocabulary_size, (50, 12)),
        chosen.integers(0, 7, (50, 12)),  # mostly special ids
        expected_ids(tokenizer, TEXTS, 3000),
        *[np.full((2, 3), special) for special in range(4)],
        *[np.zeros(shape) for shape in [(1, 1), (2, 0), (0, 3), (0, 0)]],
    ]
    feeds = [feed.astype(np.int32) for feed in feeds]
    for feed, answer in zip(feeds, run(decode_model(tokenizer), feeds), strict=True):
        assert answer["shape"] == [len(feed)]
        assert answer["values"] == tokenizer.decode(feed)


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_outside_the_vocabulary_reads_as_unknown(kind: str) -> None:
    tokenizer = trained(kind)
    size = tokenizer.vocabulary_size
    feed = np.array([[4, -1, 4], [size, 4, 2**31 - 1]], np.int32)
    [answer] = run(decode_model(tokenizer), [feed])
    assert answer["values"] == tokenizer.decode([[4, 1, 4], [1, 4, 1]])
    assert answer["values"] == [
        text.decode() for text in tokenizer.module().decode(tf.constant(feed)).numpy()
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_invalid_utf8_is_an_error_not_a_wrong_answer(kind: str) -> None:
    feeds = [np.array(texts) for texts in ([b"the cat"], [b"the", b"caf\xc3"], [b"\xff"])]
    answers = run(encode_model(trained(kind), max_length=9), feeds)
    assert answers[0]["values"] == expected_ids(trained(kind), ["the cat"], 9).ravel().tolist()
    for answer in answers[1:]:
        assert "invalid utf8" in answer["error"]


@pytest.mark.parametrize("kind", KINDS)
def test_models_are_valid_and_name_their_ends(kind: str) -> None:
    for model, ends in (
        (
            encode_model(trained(kind), max_length=9),
            [("text", "string", ["batch"]), ("input_ids", "int32", ["batch", "source_length"])],
        ),
        (
            decode_model(trained(kind)),
            [
                ("output_ids", "int32", ["batch", "target_length"]),
                ("translation", "string", ["batch"]),
            ],
        ),
    ):
        onnx.checker.check_model(model, full_check=True)
        assert (model.ir_version, opset(model)) == (9, 20)
        values = [*model.graph.input, *model.graph.output]
        names = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
        assert [
            (
                value.name,
                names[value.type.tensor_type.elem_type],
                [axis.dim_param for axis in value.type.tensor_type.shape.dim],
            )
            for value in values
        ] == ends


def opset(model: onnx.ModelProto) -> int:
    return next(imported.version for imported in model.opset_import if imported.domain == "")


@pytest.mark.parametrize("kind", ["char", "word"])
def test_character_and_word_models_need_stock_onnx_runtime_only(kind: str) -> None:
    for model in (encode_model(trained(kind), max_length=9), decode_model(trained(kind))):
        domains = {imported.domain for imported in model.opset_import}
        assert domains <= {"", "ai.onnx.ml", "com.microsoft"}


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("prefixed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_models_merge_around_a_tf2onnx_model(kind: str, prefixed: bool) -> None:
    encode, decode = encode_model(trained(kind), max_length=50), decode_model(trained(kind))
    middle = reversing_model()
    ends = {"input_ids": "input_ids", "output_ids": "output_ids"}
    if prefixed:
        encode = onnx.compose.add_prefix(encode, "encode_")
        middle = onnx.compose.add_prefix(middle, "middle_")
        decode = onnx.compose.add_prefix(decode, "decode_")
        ends = {
            "encode_input_ids": "middle_input_ids",
            "middle_output_ids": "decode_output_ids",
        }
    first, second = ends.items()
    merged = onnx.compose.merge_models(encode, middle, io_map=[first])
    merged = onnx.compose.merge_models(merged, decode, io_map=[second])
    onnx.checker.check_model(merged, full_check=True)

    texts = ["the cat sat", "", "on a mat"]
    rows = [row[::-1] for row in trained(kind).encode(texts)]
    [answer, nothing] = run(merged, [text_array(texts), text_array([])])
    assert answer["values"] == trained(kind).decode(rows)
    assert nothing["values"] == []


def reversing_model() -> onnx.ModelProto:
    """Ids to the same ids in reverse, without the end, by a loop as a decoder has it."""
    import tf2onnx

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.int32, name="input_ids")], autograph=False
    )
    def reverse(ids: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = tf.where(ids == Tokenizer.end_id, Tokenizer.pad_id, ids)
        _, found = tf.while_loop(
            lambda step, found: step < tf.shape(ids)[1],
            lambda step, found: (step + 1, tf.concat([ids[:, step : step + 1], found], axis=1)),
            [0, ids[:, :0]],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, None])],
        )
        return {"output_ids": found}

    model, _ = tf2onnx.convert.from_function(
        reverse, input_signature=reverse.input_signature, opset=18
    )
    assert opset(model) == 18
    model.ir_version = 9
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 2)])
    return model


def test_wrong_arguments_are_refused() -> None:
    words = WordTokenizer(["a"])
    with pytest.raises(ValueError, match=r"`opset` must be at least 20.*got 18"):
        encode_model(words, max_length=9, opset=18)
    with pytest.raises(ValueError, match=r"`opset` must be at least 20.*got 18"):
        decode_model(words, opset=18)
    for max_length in (0, -1, 2.0):
        with pytest.raises(ValueError, match="`max_length` must be a positive integer"):
            encode_model(words, max_length=max_length)  # type: ignore[arg-type]


def test_a_tokenizer_without_an_onnx_form_is_refused() -> None:
    class Sounds(CharTokenizer):
        """May split text as it likes, so the form of its base class would be wrong."""

    for make in (decode_model, lambda made: encode_model(made, max_length=9)):
        with pytest.raises(TypeError, match="to become ONNX; got Sounds"):
            make(Sounds(["a"]))


@pytest.mark.parametrize("module", [strings, nodes])
def test_examples_in_docstrings_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
