"""Tests of the translator: text in and text out, alignments, saving and loading."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.models.inference import InferenceModel
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.search import BeamSearch, GreedySearch, SearchResult
from keras_s2s.text import CharTokenizer, Tokenizer, train_tokenizer
from keras_s2s.translation import results as translation
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.results import Translation
from keras_s2s.translation.translator import Translator

LETTERS = CharTokenizer(list("abcdef "))
LINES = [
    "a cab",
    "bad cafe",
    "fade a bed",
    "dead bee",
    "face a cab",
    "a bad bead",
    "feed a fab cad",
]


def made(
    source: Tokenizer = LETTERS,
    target: Tokenizer = LETTERS,
    attention: str | None = "general",
    **given: Any,
) -> Translator:
    """A translator with random weights, large enough that its outputs differ."""
    model = Seq2Seq(
        Encoder(vocabulary_size=source.vocabulary_size, embedding_size=8, units=4, cell="gru"),
        Decoder(
            vocabulary_size=target.vocabulary_size,
            embedding_size=8,
            units=8,
            cell="gru",
            attention=attention,
        ),
    )
    model.build()
    random = np.random.default_rng(5)
    model.set_weights([2 * random.normal(size=w.shape) for w in model.get_weights()])
    options: dict[str, Any] = {"search": BeamSearch(3, max_length=12), "max_source_length": 20}
    return Translator(model, source, target, **{**options, **given})


@pytest.fixture(scope="module")
def translator() -> Translator:
    return made()


@pytest.fixture(scope="module")
def expected(translator: Translator) -> dict[str, list[Translation]]:
    """Each line translated alone."""
    return {line: translator.translate([line])[0] for line in LINES}


def test_string_gives_a_string(
    translator: Translator, expected: dict[str, list[Translation]]
) -> None:
    assert translator("bad cafe") == expected["bad cafe"][0].text


def test_outputs_differ(expected: dict[str, list[Translation]]) -> None:
    # Or else the tests of order below would say nothing.
    assert len({found[0].text for found in expected.values()}) >= 5


@pytest.mark.parametrize(
    "sequence",
    [list, tuple, np.array, lambda lines: np.array(lines, dtype=object)],
    ids=["list", "tuple", "array", "object array"],
)
def test_sequence_gives_a_list_in_its_order(
    translator: Translator, expected: dict[str, list[Translation]], sequence: Callable[..., Any]
) -> None:
    found = translator(sequence(LINES))

    assert type(found) is list
    assert found == [expected[line][0].text for line in LINES]


@pytest.mark.parametrize("nothing", [[], (), np.array([])], ids=["list", "tuple", "array"])
def test_no_texts_give_no_outputs(translator: Translator, nothing: Any) -> None:
    assert translator(nothing) == []
    assert translator.translate([]) == []


def test_empty_string_is_a_text(translator: Translator) -> None:
    assert isinstance(translator(""), str)
    assert translator.source_ids([""]).tolist() == [[LETTERS.end_id]]
    assert len(translator(["", "a cab", ""])) == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", 1], "`texts` must hold strings; got int at 1"),
        ([None], "got NoneType at 0"),
        ([b"a"], "got bytes at 0"),
        ([["a"]], "got list at 0"),
        (np.array([["a"]]), "got list at 0"),
        (b"a", "takes a string, a list, .* got bytes"),
        (None, "got NoneType"),
        (3, "got int"),
        ({"a"}, "got set"),
    ],
)
def test_what_is_no_text_is_refused(translator: Translator, texts: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        translator(texts)


def test_translate_takes_no_single_string(translator: Translator) -> None:
    with pytest.raises(TypeError, match=r"got one str\. Pass \[text\]"):
        translator.translate("a cab")


def test_batch_size_below_one_is_refused(translator: Translator) -> None:
    with pytest.raises(
        ValueError, match="`batch_size` must be a positive integer; got batch_size=0"
    ):
        translator(["a"], batch_size=0)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.integers(1, 5))
def test_neither_batch_size_nor_batch_mates_change_a_result(
    translator: Translator,
    expected: dict[str, list[Translation]],
    lines: list[str],
    batch_size: int,
) -> None:
    for line, found in zip(lines, translator.translate(lines, batch_size=batch_size), strict=True):
        for ours, alone in zip(found, expected[line], strict=True):
            assert (ours.text, ours.ids) == (alone.text, alone.ids)
            # The same sums in another order; float32 keeps 7 digits.
            np.testing.assert_allclose(ours.score, alone.score, rtol=1e-5)
            np.testing.assert_allclose(ours.log_prob, alone.log_prob, rtol=1e-5)
            np.testing.assert_allclose(ours.weights, alone.weights, atol=1e-5)


def test_order_is_kept_beyond_what_is_sorted_together(
    translator: Translator,
    expected: dict[str, list[Translation]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(translation, "_SORTED_BATCHES", 2)
    lines = [LINES[(5 * i) % len(LINES)] for i in range(19)]

    found = translator(lines, batch_size=2)

    assert found == [expected[line][0].text for line in lines]


def test_stream_gives_outputs_before_the_last_is_there(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "_SORTED_BATCHES", 1)
    searched: list[int] = []
    search = InferenceModel.search_batch

    def counting(self: InferenceModel, inputs: Any) -> SearchResult:
        searched.append(len(inputs["source_ids"]))
        return search(self, inputs)

    monkeypatch.setattr(InferenceModel, "search_batch", counting)
    stream = translator.stream(LINES, batch_size=2)
    assert searched == []
    next(stream)
    assert searched == [2]
    assert len(list(stream)) == len(LINES) - 1


def test_long_texts_are_cut_with_one_warning(translator: Translator) -> None:
    long, cut = "abc" * 20, ("abc" * 20)[:19]  # 19 letters and the end id are 20 ids
    with pytest.warns(UserWarning, match="source tokens") as caught:
        found = translator(["a", long, "b", long])

    assert len(caught) == 1
    assert str(caught[0].message) == (
        "2 of 4 texts are longer than 19 source tokens and are cut there; "
        "the first is text 2, with 60 tokens."
    )
    assert found[1] == found[3] == translator(cut)


def test_text_of_the_longest_length_is_not_cut(translator: Translator) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        translator("abc" * 6 + "a")


def test_n_best_gives_distinct_hypotheses_best_first() -> None:
    translator = made(search=BeamSearch(4, n_best=4, max_length=12))
    for found in translator.translate(LINES):
        scores = [one.score for one in found]
        assert len(found) == 4
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(one.ids) for one in found}) == 4


def test_hypothesis_ends_with_the_end_and_its_text_is_that_of_its_ids(
    translator: Translator, expected: dict[str, list[Translation]]
) -> None:
    for found in expected.values():
        for one in found:
            assert one.ids[-1] == LETTERS.end_id
            assert LETTERS.decode([one.ids]) == [one.text]


def test_log_prob_is_that_of_teacher_forcing(
    translator: Translator, expected: dict[str, list[Translation]]
) -> None:
    for line, (best, *_) in expected.items():
        inputs = {
            "source_ids": translator.source_ids([line]),
            "target_ids": np.array([[LETTERS.start_id, *best.ids[:-1]]]),
        }
        logits = translator.model.predict(inputs, verbose=0)[0].astype("float64")
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        summed = sum(log_probs[t, token] for t, token in enumerate(best.ids))
        np.testing.assert_allclose(best.log_prob, summed, rtol=1e-4)  # float32 logits up to 50


def test_alignment_has_a_row_per_output_piece_and_a_column_per_source_piece(
    translator: Translator,
) -> None:
    for line in [*LINES, ""]:
        source, target, weights = translator.align(line)
        assert source == [*line.replace(" ", "▁"), "</s>"]
        assert target[-1] == "</s>"
        assert weights.shape == (len(target), len(source))
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
        # Random weights say special tokens too, which a text does not show.
        said = [piece for piece in target[:-1] if piece not in ("<pad>", "<s>")]
        assert "".join(said).replace("▁", " ") == translator(line)


def test_alignment_of_a_long_text_warns_once(translator: Translator) -> None:
    with pytest.warns(UserWarning, match="source tokens") as caught:
        alignment = translator.align("abc" * 20)

    assert len(caught) == 1
    assert len(alignment.source) == 20


def test_without_attention_the_weights_are_zero() -> None:
    _, _, weights = made(attention=None).align("a cab")
    assert weights.any() == np.False_


def test_another_search_takes_effect() -> None:
    translator = made(search=GreedySearch(12))
    greedy = [found[0] for found in translator.translate(LINES)]
    translator.search = BeamSearch(6, length_penalty=0.0, n_best=2, max_length=12)
    beam = translator.translate(LINES)
    translator.search = GreedySearch(3)
    short = translator.translate(LINES)

    assert all(len(found) == 2 for found in beam)
    assert any(found[0].log_prob > one.log_prob for found, one in zip(beam, greedy, strict=True))
    assert all(len(found[0].ids) <= 3 for found in short)


def test_search_must_be_a_search(translator: Translator) -> None:
    with pytest.raises(TypeError, match="`search` must be a Search; got str"):
        translator.search = "beam"


def test_new_weights_take_effect() -> None:
    translator = made()
    before = translator(LINES)
    translator.model.set_weights([-w for w in translator.model.get_weights()])

    assert translator(LINES) != before


def test_ids_give_a_search_result_as_from_any_keras_model(translator: Translator) -> None:
    ids = translator.source_ids(LINES)

    called, predicted = translator(ids), translator.predict(ids, verbose=0)

    for result in (called, predicted):
        assert isinstance(result, SearchResult)
        texts = LETTERS.decode(np.array(result.ids)[:, 0])
        assert texts == translator(LINES)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ("source", "The source tokenizer has 5 ids, but the encoder was made for 11"),
        ("target", "The target tokenizer has 5 ids, but the decoder was made for 11"),
    ],
)
def test_tokenizer_of_another_size_is_refused(
    translator: Translator, side: str, message: str
) -> None:
    other = {"source_tokenizer": LETTERS, "target_tokenizer": LETTERS}
    other[f"{side}_tokenizer"] = CharTokenizer(["a"])

    with pytest.raises(ValueError, match=message):
        Translator(translator.model, **other)


@pytest.mark.parametrize("length", [0, -1, 2.5, None])
def test_impossible_source_length_is_refused(translator: Translator, length: Any) -> None:
    with pytest.raises(ValueError, match="`max_source_length` must be a positive integer"):
        Translator(translator.model, LETTERS, LETTERS, max_source_length=length)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("kind", ["unigram", "bpe", "char", "word"])
def test_loaded_translator_says_the_same(tmp_path: Path, kind: Any) -> None:
    size = 18 if kind in ("unigram", "bpe") else None
    source = train_tokenizer(kind, LINES, size)
    target = train_tokenizer("word", [line.upper() for line in LINES])
    translator = made(source, target, search=BeamSearch(4, 0.7, n_best=2, max_length=9))
    translator.save(tmp_path / "t.keras")

    loaded = load_translator(tmp_path / "t.keras")

    assert loaded.search.get_config() == translator.search.get_config()
    assert loaded.max_source_length == 20
    assert (loaded.source_tokenizer, loaded.target_tokenizer) == (source, target)
    for ours, theirs in zip(loaded.translate(LINES), translator.translate(LINES), strict=True):
        assert [(one.text, one.score) for one in ours] == [(one.text, one.score) for one in theirs]


@pytest.mark.thorough
@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "imports",
    [
        "import keras, keras_s2s",
        "import keras_s2s, keras",
        "from keras_s2s import GRU; import keras",
        "from keras_s2s.translation.translator import Translator; import keras",
        "from keras_s2s.translation.archive import load_translator; import keras",
        "import keras_s2s.search.beam; import keras",
    ],
)
def test_fresh_process_loads_it_in_any_order_of_imports(
    translator: Translator, tmp_path: Path, imports: str
) -> None:
    translator.save(tmp_path / "t.keras")
    code = (
        f"{imports}; import json, sys; "
        "translator = keras.saving.load_model(sys.argv[1]); "
        "print(json.dumps(translator(json.loads(sys.argv[2]))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "t.keras"), json.dumps(LINES)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == translator(LINES)
