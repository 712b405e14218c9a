"""Tests of the declarations of exported graphs: samples, objections, and what derives from them."""

import dataclasses
import doctest
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.export import metadata
from keras_s2s.export.specs import spec
from keras_s2s.export.specs.spec import GraphSpec, ids_spec, text_spec
from keras_s2s.export.specs.value import Axis, Value
from keras_s2s.text import CharTokenizer, WordTokenizer

LETTERS = CharTokenizer(["a", "b", "c"])
quick = settings(deadline=None, max_examples=50, derandomize=True)
IDS = ids_spec("beam", LETTERS, n_best=2, max_length=9)
TEXT = text_spec("text", LETTERS)

shapes = st.tuples(st.integers(0, 9), st.integers(1, 12), st.integers(0, 5))


@quick
@given(shapes)
def test_ids_sample_has_the_shape_asked_for_and_real_ids(shape: tuple[int, int, int]) -> None:
    batch, length, seed = shape
    sample = IDS.sample(batch, length, seed)

    assert IDS.objections(sample, outputs_for(batch)) == []
    assert sample["input_ids"].shape == (batch, length)
    assert all(1 <= n <= length for n in sample["input_lengths"])
    if batch:
        assert sample["input_lengths"].max() == length
    if batch > 1 and length > 1:
        assert sample["input_lengths"].min() < length  # a padded row
    for ids, n in zip(sample["input_ids"], sample["input_lengths"], strict=True):
        assert ids[n - 1] == LETTERS.end_id
        assert all(LETTERS.end_id < token < LETTERS.vocabulary_size for token in ids[: n - 1])
        assert LETTERS.pad_id not in ids  # behind a row stands anything but padding


@quick
@given(shapes)
def test_text_sample_encodes_to_the_length_asked_for(shape: tuple[int, int, int]) -> None:
    batch, length, seed = shape
    sample = TEXT.sample(batch, length, seed)

    assert TEXT.objections(sample, {"translation": np.array(["x"] * batch, object)}) == []
    lengths = [len(ids) + 1 for ids in LETTERS.encode(sample["text"].tolist())]
    assert max(lengths, default=length) == length


def test_sample_depends_on_the_seed_alone() -> None:
    first, again, other = (IDS.sample(4, 6, seed)["input_ids"].tolist() for seed in (1, 1, 2))

    assert first == again != other


def test_sample_needs_room_for_the_end_id() -> None:
    with pytest.raises(ValueError, match="at least 1, for the end id; got 0"):
        IDS.sample(2, 0, 0)


def outputs_for(batch: int) -> dict[str, np.ndarray]:
    return {
        "output_ids": np.zeros((batch, 2, 9), np.int64),
        "output_lengths": np.zeros((batch, 2), np.int64),
        "scores": np.zeros((batch, 2), np.float32),
    }


@pytest.mark.parametrize(
    ("name", "wrong", "objection"),
    [
        ("output_ids", np.zeros((3, 2, 9), np.int32), "output_ids must be int64; got int32"),
        ("output_ids", np.zeros((3, 2, 8), np.int64), "target_length=9"),
        ("output_ids", np.zeros((3, 1, 9), np.int64), "n_best=2"),
        ("output_lengths", np.zeros((4, 2), np.int64), "with batch=3"),
        ("scores", np.zeros((3,), np.float32), "got (3,)"),
        ("scores", np.zeros((3, 2, 1), np.float32), "got (3, 2, 1)"),
    ],
)
def test_every_departure_from_the_declaration_is_named(
    name: str, wrong: np.ndarray, objection: str
) -> None:
    found = IDS.objections(IDS.sample(3, 5, 0), outputs_for(3) | {name: wrong})

    assert len(found) == 1
    assert objection in found[0]


def test_missing_and_extra_names_are_objected_to() -> None:
    outputs = outputs_for(3)
    outputs["logits"] = outputs.pop("scores")

    (found,) = IDS.objections(IDS.sample(3, 5, 0), outputs)

    assert "'scores'" in found
    assert "'logits'" in found


def test_axes_of_one_name_have_one_length_in_a_call() -> None:
    inputs = IDS.sample(3, 5, 0) | {"input_lengths": np.ones(2, np.int64)}

    assert IDS.objections(inputs, outputs_for(3))[0].startswith("input_lengths must have the shape")


def test_text_may_be_bytes_or_strings_and_nothing_else() -> None:
    for array in (np.array(["a"]), np.array([b"a"]), np.array(["a"], object)):
        assert TEXT.objections({"text": array}, {"translation": array}) == []

    (found,) = TEXT.objections({"text": np.array(["a"])}, {"translation": np.zeros(1)})
    assert found == "translation must be string; got float64"


@pytest.mark.parametrize("declared", [IDS, TEXT])
def test_signature_and_table_derive_from_the_declaration(declared: GraphSpec) -> None:
    signature = declared.signature()

    assert [entry.name for entry in signature] == [value.name for value in declared.inputs]
    assert [entry.dtype.name for entry in signature] == [value.dtype for value in declared.inputs]
    assert all(entry.shape[0] is None for entry in signature)
    for value in (*declared.inputs, *declared.outputs):
        assert f"| `{value.name}` |" in declared.table()
        assert value.meaning in declared.table()


def test_table_shows_fixed_and_free_axes() -> None:
    assert "[batch, n_best=2, target_length=9]" in IDS.table()
    assert "[batch, source_length]" in IDS.table()


def test_declaration_cannot_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        IDS.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        (
            "scores",
            "float16",
            "must be one of 'int32', 'int64', 'bool', 'float32', 'string'; got dtype='float16'",
        ),
        ("text_bytes", "string", "must not end in '_bytes'"),  # servers would wrap it in base64
    ],
)
def test_values_that_servers_cannot_carry_are_refused(name: str, dtype: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Value(name, dtype, (Axis("batch"),), "")


def test_words_are_drawn_from_their_own_vocabulary() -> None:
    words = WordTokenizer(["cat", "dog"])
    drawn = text_spec("text", words).sample(20, 4, 0)["text"]

    assert {word for text in drawn for word in text.split()} == {"cat", "dog"}


@pytest.mark.parametrize("module", [spec, metadata])
def test_examples_in_the_documentation(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
