"""The Python and TensorFlow forms of each tokenizer agree; tests of training, errors, saving."""

import doctest
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from keras_s2s.text import (
    CharTokenizer,
    SentencePieceTokenizer,
    WordTokenizer,
    graph_modules,
    subword,
    tokenizer,
    train_tokenizer,
    trainer,
    valid_text,
    vocabulary,
)
from support.texts import KINDS, LINES, NASTY, WORDS, trained


@cache
def in_graph(kind: str) -> tf.Module:
    return trained(kind).module()


def as_bytes(texts: list[str]) -> tf.Tensor:
    return tf.constant([text.encode("utf-8", "surrogateescape") for text in texts], tf.string)


def graph_ids(kind: str, texts: list[str]) -> list[list[int]]:
    return in_graph(kind).encode(as_bytes(texts)).to_list()


def graph_texts(kind: str, ids: Any) -> list[str]:
    return [text.decode() for text in in_graph(kind).decode(tf.constant(ids, tf.int32)).numpy()]


def padded(rows: list[list[int]]) -> np.ndarray:
    width = max(map(len, rows), default=0)
    return np.array([row + [0] * (width - len(row)) for row in rows], np.int32).reshape(
        len(rows), width
    )


# Both forms agree.


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", NASTY, ids=lambda text: ascii(text[:12]))
def test_python_and_graph_agree_on_nasty_texts(kind: str, text: str) -> None:
    ids = trained(kind).encode([text])
    assert graph_ids(kind, [text]) == ids
    assert graph_texts(kind, padded(ids)) == trained(kind).decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_ids_do_not_depend_on_batch_mates(kind: str) -> None:
    alone = [trained(kind).encode([text])[0] for text in NASTY]
    assert trained(kind).encode(NASTY) == alone
    assert graph_ids(kind, list(NASTY)) == alone


# Texts made of known words and of anything at all; arbitrary bytes stand for broken input.
anything = st.text(max_size=20) | st.lists(st.sampled_from([*WORDS, " ", "\0"])).map("".join)
broken = st.binary(max_size=20).map(lambda text: text.decode("utf-8", "surrogateescape"))
quickly = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("kind", KINDS)
@quickly
@given(texts=st.lists(anything | broken, max_size=4))
def test_python_and_graph_agree_on_any_text(kind: str, texts: list[str]) -> None:
    ids = trained(kind).encode(texts)
    assert graph_ids(kind, texts) == ids
    assert graph_texts(kind, padded(ids)) == trained(kind).decode(ids)


@pytest.mark.parametrize("kind", KINDS)
@quickly
@given(data=st.data())
def test_python_and_graph_agree_on_any_ids(kind: str, data: st.DataObject) -> None:
    id_ = st.integers(0, trained(kind).vocabulary_size - 1) | st.integers(0, 6)
    ids = padded(data.draw(st.lists(st.lists(id_, max_size=9), max_size=4)))
    assert graph_texts(kind, ids) == trained(kind).decode(ids)


def test_white_space_is_the_same_set_in_both_forms() -> None:
    words = WordTokenizer(["a", "b"])
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    texts = [f"a{chr(point)}b" for point in points if point < 0x3100 or point % 97 == 0]
    ids = words.encode(texts)
    assert words.module().encode(as_bytes(texts)).to_list() == ids
    assert {text[1] for text, row in zip(texts, ids, strict=True) if row == [4, 5]} == set(
        " \t\n\v\f\r\0"
    )


# Text to ids.


@pytest.mark.parametrize("kind", KINDS)
def test_encode_gives_no_special_id_but_unknown(kind: str) -> None:
    ids = {id_ for row in trained(kind).encode(NASTY) for id_ in row}
    assert ids & {0, 2, 3} == set()
    assert 1 in ids


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_is_an_empty_list(kind: str) -> None:
    assert trained(kind).encode([]) == []
    assert trained(kind).decode([]) == []
    assert in_graph(kind).encode(tf.constant([], tf.string)).shape[0] == 0
    for width in (0, 3):
        assert graph_texts(kind, np.zeros((0, width), np.int32)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_knows_its_kind(kind: str) -> None:
    assert trained(kind).kind == kind


def test_known_text_comes_back() -> None:
    chars, words = trained("char"), train_tokenizer("word", LINES)
    for made in (chars, words):
        assert made.decode(made.encode(LINES)) == list(LINES)


def test_characters_are_code_points() -> None:
    chars = CharTokenizer(["e", "\u0301", "é", "\u200d", "👩"])
    assert chars.encode(["e\u0301é", "👩\u200d👩"]) == [[4, 5, 6], [8, 7, 8]]


def test_nul_is_a_space() -> None:
    assert valid_text("a\0b") == "a b"
    assert CharTokenizer([" "]).encode(["\0"]) == [[4]]
    assert CharTokenizer(["a"]).encode(["\0"]) == [[1]]


def test_lone_surrogates_become_replacement_characters() -> None:
    assert valid_text("a\ud800\udfffb") == "a\ufffd\ufffdb"
    assert valid_text("\ud83d\ude42") == "\ufffd\ufffd"
    assert valid_text("\udcf0\udc9f\udc99\udc82") == "🙂"  # the bytes were valid after all


@pytest.mark.parametrize("kind", KINDS)
def test_encode_refuses_what_is_no_list_of_strings(kind: str) -> None:
    with pytest.raises(TypeError, match="list of strings; got one str"):
        trained(kind).encode("the cat")
    with pytest.raises(TypeError, match="got bytes at position 1"):
        trained(kind).encode(["the", b"cat"])  # type: ignore[list-item]


# Ids to text.


@pytest.mark.parametrize(
    ("ids", "chars", "words"),
    [
        ([], "", ""),
        ([0, 0], "", ""),
        ([4, 5], "ab", "a b"),
        ([2, 4, 5, 3], "ab", "a b"),
        ([4, 3, 5, 3, 4], "a", "a"),
        ([3, 4], "", ""),
        ([0, 4, 0, 0, 5, 0], "ab", "a b"),
        ([4, 2, 5], "ab", "a b"),
        ([1, 4, 1, 1], "⁇a⁇⁇", "⁇ a ⁇ ⁇"),
    ],
)
def test_decode_stops_at_end_and_drops_padding_and_start(
    ids: list[int], chars: str, words: str
) -> None:
    for made, expected in ((CharTokenizer(["a", "b"]), chars), (WordTokenizer(["a", "b"]), words)):
        assert made.decode([ids]) == [expected]
        assert made.module().decode(padded([ids])).numpy()[0].decode() == expected


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_unknown_reads_the_same_from_sentencepiece(kind: str) -> None:
    pieces = trained(kind)
    assert pieces.decode(pieces.encode(["the ĝ cat"])) == ["the ⁇ cat"]
    cat = pieces.encode(["cat"])[0]
    assert pieces.decode([[0, 2, *cat, 0, *cat, 3, *cat]]) == ["cat cat"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_outside_the_vocabulary_is_an_error_in_python_and_unknown_in_the_graph(
    kind: str,
) -> None:
    size = trained(kind).vocabulary_size
    for outside in (-1, size, 2**31 - 1):
        for method, ids in (
            (trained(kind).decode, [[4], [outside]]),
            (trained(kind).pieces, [outside]),
        ):
            with pytest.raises(ValueError, match=f"from 0 to {size - 1}; got ids from {outside}"):
                method(ids)
        assert graph_texts(kind, [[4, outside]]) == trained(kind).decode([[4, 1]])


@pytest.mark.parametrize("ids", [[4, 5], [[4.0]], [["4"]], [[[4]]], [[True]]], ids=str)
def test_decode_refuses_what_is_no_rows_of_integers(ids: Any) -> None:
    with pytest.raises(TypeError, match=r"`ids\[0\]` must be a row of integer ids"):
        CharTokenizer(["a", "b"]).decode(ids)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_decode_takes_arrays(dtype: Any) -> None:
    assert CharTokenizer(["a", "b"]).decode(np.array([[5, 4, 3]], dtype)) == ["ba"]
    assert CharTokenizer(["a", "b"]).decode(tf.constant([[5, 4, 3]])) == ["ba"]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_one_printable_string_for_each_id(kind: str) -> None:
    made = trained(kind)
    ids = [2, *made.encode(["the cat ĝ"])[0], 3, 0, *range(made.vocabulary_size)]
    pieces = made.pieces(ids)
    assert len(pieces) == len(ids)
    assert all(piece and piece.isprintable() for piece in pieces)
    assert pieces[0] == "<s>"
    assert pieces[-made.vocabulary_size :][:4] == ["<pad>", "⁇", "<s>", "</s>"]


def test_pieces_show_spaces_and_escape_what_cannot_be_printed() -> None:
    made = CharTokenizer([" ", "\n", "\u200d", "\xa0"])
    assert made.pieces([4, 5, 6, 7]) == ["▁", r"\n", r"\u200d", r"\xa0"]


# Training.


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_deterministic_and_quiet(kind: Any, capfd: pytest.CaptureFixture[str]) -> None:
    again = train_tokenizer(kind, iter(LINES), trained(kind).vocabulary_size)
    assert again == trained(kind)
    assert capfd.readouterr() == ("", "")


def test_most_frequent_come_first_and_ties_by_code_point() -> None:
    lines = ["c z a\n", "b c b"]
    assert train_tokenizer("word", lines) == WordTokenizer(["b", "c", "a", "z"])
    assert train_tokenizer("char", lines, 7) == CharTokenizer([" ", "b", "c"])


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sentencepiece_has_exactly_the_size_asked_for_and_our_special_ids(kind: Any) -> None:
    made = train_tokenizer(kind, LINES, 64)
    assert made.vocabulary_size == 64
    assert made.pieces([0, 1, 2, 3]) == ["<pad>", "⁇", "<s>", "</s>"]
    assert (made.pad_id, made.unknown_id, made.start_id, made.end_id) == (0, 1, 2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_out_of_reach_names_the_largest_possible(kind: Any) -> None:
    with pytest.raises(ValueError, match="at most") as caught:
        train_tokenizer(kind, LINES, 100_000)
    largest = int(re.findall(r"at most (\d+)", str(caught.value))[0])
    assert train_tokenizer(kind, LINES, largest).vocabulary_size == largest
    with pytest.raises(ValueError, match=f"at most {largest}"):
        train_tokenizer(kind, LINES, largest + 1)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_size_without_room_for_all_characters_names_the_smallest_possible(kind: Any) -> None:
    with pytest.raises(ValueError, match="at least") as caught:
        train_tokenizer(kind, LINES, 5)
    smallest = int(re.findall(r"at least (\d+)", str(caught.value))[0])
    assert train_tokenizer(kind, LINES, smallest).vocabulary_size == smallest
    with pytest.raises(ValueError, match=f"at least {smallest}"):
        train_tokenizer(kind, LINES, smallest - 1)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_no_line_is_left_out_of_training(kind: Any) -> None:
    # SentencePiece alone skips lines above 4192 bytes and lines with U+2585.
    made = train_tokenizer(
        kind, ["ab", "▅ c", "d " * 3000, "e\nf", "g\0h"], 4 + 1 + len("abcdefgh")
    )
    assert {1} & {id_ for row in made.encode(["abcdefgh"]) for id_ in row} == set()


@pytest.mark.parametrize("size", [0, 4, -1, 10.0, "10"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_is_none_is_refused(kind: Any, size: Any) -> None:
    with pytest.raises(ValueError, match="integer above 4"):
        train_tokenizer(kind, LINES, size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lines", [[], [""], ["\n", "  \n"]], ids=str)
def test_no_text_is_refused(kind: Any, lines: list[str]) -> None:
    with pytest.raises(ValueError, match="must hold text"):
        train_tokenizer(kind, lines, 10)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_text_that_normalisation_removes_is_refused(kind: Any) -> None:
    for lines in (["\x01"], ["\u200b"], ["▅"]):
        with pytest.raises(ValueError, match="left after normalisation"):
            train_tokenizer(kind, lines, 10)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sentencepiece_needs_a_size(kind: Any) -> None:
    with pytest.raises(ValueError, match="must be given"):
        train_tokenizer(kind, LINES, None)


def test_training_refuses_wrong_kinds_and_types() -> None:
    with pytest.raises(ValueError, match="'unigram', 'bpe', 'char', 'word'; got kind='BPE'"):
        train_tokenizer("BPE", LINES, 10)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="iterable of lines; got one str"):
        train_tokenizer("char", "the cat")
    with pytest.raises(TypeError, match="got int at position 1"):
        train_tokenizer("char", ["a", 1])  # type: ignore[list-item]


# What a tokenizer is made of.


@pytest.mark.parametrize(
    ("made", "vocabulary", "message"),
    [
        (CharTokenizer, ["a", "bc"], "one Unicode code point.*'bc' at position 1"),
        (CharTokenizer, [""], "one Unicode code point"),
        (CharTokenizer, ["\0"], "neither NUL"),
        (CharTokenizer, ["\udc80"], "lone surrogate"),
        (WordTokenizer, ["a b"], "without white space"),
        (WordTokenizer, [""], "without white space"),
        (WordTokenizer, ["a\0"], "without white space, NUL"),
        (WordTokenizer, ["a", "b", "a"], "once; got 'a' again at position 2"),
        (WordTokenizer, [], "at least one"),
    ],
)
def test_a_vocabulary_that_no_text_can_meet_is_refused(
    made: Any, vocabulary: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        made(vocabulary)


@pytest.mark.parametrize("vocabulary", ["abc", ["a", 1]], ids=str)
def test_a_vocabulary_of_other_types_is_refused(vocabulary: Any) -> None:
    with pytest.raises(TypeError, match="strings"):
        CharTokenizer(vocabulary)


def test_a_sentencepiece_model_is_checked() -> None:
    import io

    import sentencepiece

    with pytest.raises(TypeError, match="bytes of a SentencePiece model; got str"):
        SentencePieceTokenizer("x.model")  # type: ignore[arg-type]
    for junk in (b"", b"junk"):
        with pytest.raises(ValueError, match=f"got {len(junk)} bytes that are none"):
            SentencePieceTokenizer(junk)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=model, vocab_size=64, minloglevel=2
    )
    with pytest.raises(ValueError, match=r"'pad_id': 0.*got .*'pad_id': -1"):
        SentencePieceTokenizer(model.getvalue())


@pytest.mark.parametrize("kind", KINDS)
def test_config_round_trips_through_keras_and_json(kind: str) -> None:
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(trained(kind))))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(trained(kind))
    assert again == trained(kind)
    assert hash(again) == hash(trained(kind))
    assert again.encode(NASTY) == trained(kind).encode(NASTY)


def test_equality_is_by_class_and_config() -> None:
    assert CharTokenizer(["a", "b"]) != CharTokenizer(["b", "a"])
    assert CharTokenizer(["a"]) != WordTokenizer(["a"])
    assert CharTokenizer(["a"]) != ["a"]
    assert trained("bpe") != trained("unigram")


# The graph form.


@pytest.mark.parametrize("kind", KINDS)
def test_module_survives_a_saved_model_and_uses_stock_operators(kind: str, tmp_path: Path) -> None:
    class Both(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = trained(kind).module()

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def there_and_back(self, texts: tf.Tensor) -> tf.Tensor:
            return self.tokenizer.decode(self.tokenizer.encode(texts).to_tensor())

    tf.saved_model.save(Both(), tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    texts = list(NASTY)
    expected = trained(kind).decode(trained(kind).encode(texts))
    assert [text.decode() for text in loaded.there_and_back(as_bytes(texts)).numpy()] == expected
    assert loaded.there_and_back(tf.constant([], tf.string)).shape == (0,)

    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    definition = saved.meta_graphs[0].graph_def
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    beyond_core = {node.op for node in nodes if not hasattr(tf.raw_ops, node.op)}
    # TensorFlow Text's SentencePiece operators have been in TensorFlow Serving since 2.3.
    stock = {"SentencepieceOp", "SentencepieceTokenizeOp", "SentencepieceDetokenizeOp"}
    functions = {function.signature.name for function in definition.library.function}
    assert beyond_core - functions == (stock if kind in ("unigram", "bpe") else set())
    assert not {"PyFunc", "EagerPyFunc"} & {node.op for node in nodes}


@pytest.mark.parametrize("kind", KINDS)
def test_module_alone_survives_a_saved_model(kind: str, tmp_path: Path) -> None:
    tf.saved_model.save(trained(kind).module(), tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    ids = loaded.encode(tf.constant(["the cat", ""]))
    assert ids.to_list() == trained(kind).encode(["the cat", ""])
    assert ids.dtype == tf.int32
    assert loaded.decode(ids.to_tensor()).numpy().tolist() == [b"the cat", b""]


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("kind", KINDS)
def test_module_outlives_a_new_random_seed_and_a_cleared_session(kind: str, tmp_path: Path) -> None:
    # Both discard TensorFlow's kernels, and with them the resources that have no name.
    module = trained(kind).module()
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    for forget in (lambda: keras.utils.set_random_seed(1), keras.backend.clear_session):
        for made in (module, loaded):
            ids = made.encode(tf.constant(["the cat"]))
            forget()
            assert made.decode(ids.to_tensor()).numpy().tolist() == [b"the cat"]
            assert made.encode(tf.constant(["the cat"])).to_list() == ids.to_list()


@pytest.mark.parametrize("module", [tokenizer, subword, vocabulary, trainer, graph_modules])
def test_examples_in_docstrings_run(module: Any) -> None:
    names = {"CharTokenizer": CharTokenizer}
    assert doctest.testmod(module, extraglobs=names).failed == 0
