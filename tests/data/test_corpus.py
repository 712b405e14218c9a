"""Tests of the corpus: its batches, its errors, and the epoch that an iteration gives."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_s2s.data import filtering
from keras_s2s.data.corpus import Corpus
from keras_s2s.data.reading import read_parallel, read_tsv
from keras_s2s.text import CharTokenizer, Tokenizer, WordTokenizer, train_tokenizer

LETTERS = CharTokenizer(list("abcdefgh"))
DIGITS = WordTokenizer([str(number) for number in range(100)])


def numbered(pairs: int, seed: int = 3) -> list[tuple[str, str]]:
    """Pairs whose first target word is the number of the pair, to recognise them in batches."""
    random = np.random.default_rng(seed)
    return [
        (
            "".join(random.choice(list("abcdefgh"), random.integers(1, 12))),
            " ".join([str(number), *map(str, random.integers(0, 100, random.integers(0, 9)))]),
        )
        for number in range(pairs)
    ]


def numbered_corpus(pairs: int) -> Corpus:
    assert pairs <= 100
    return Corpus(numbered(pairs), LETTERS, DIGITS)


def order(batches: Any) -> list[list[str]]:
    """The numbers of the pairs, batch by batch."""
    return [DIGITS.decode(labels[:, :1].tolist()) for _, labels, _ in to_numpy(batches)]


def to_numpy(batches: Any) -> Iterator[Any]:
    for inputs, labels, weights in batches:
        yield (
            {name: np.asarray(ids) for name, ids in inputs.items()},
            np.asarray(labels),
            np.asarray(weights),
        )


# Reading.


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_chunks_do_not_change_the_corpus(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    pairs = numbered(30)
    pairs[4:8] = [("", "")] * 4  # whole chunks without text
    expected = Corpus(pairs, LETTERS, DIGITS)
    monkeypatch.setattr(filtering, "_CHUNK", chunk)
    corpus = Corpus(pairs, LETTERS, DIGITS)
    assert corpus.report == expected.report
    made = corpus.batches(batch_size=4, shuffle_seed=1)
    assert order(made) == order(expected.batches(batch_size=4, shuffle_seed=1))


def test_pairs_are_taken_as_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, tokenised = 0, []

    def stream() -> Iterator[tuple[str, str]]:
        nonlocal taken
        for pair in numbered(20):
            taken += 1
            yield pair

    class Watching(CharTokenizer):
        def encode(self, texts: Sequence[str]) -> list[list[int]]:
            tokenised.append(len(texts))
            assert taken == sum(tokenised)  # nothing is read ahead
            return super().encode(texts)

    monkeypatch.setattr(filtering, "_CHUNK", 8)
    Corpus(stream(), Watching(list("abcdefgh")), DIGITS)
    assert tokenised == [8, 8, 4]


def test_files_become_batches(tmp_path: Path) -> None:
    source, target, table = (tmp_path / name for name in ("a", "b", "c.tsv"))
    source.write_bytes(b"\xef\xbb\xbfab\r\n\r\nc\r\n")
    target.write_bytes(b"1\n2\n1 2\n")
    table.write_text("ab\t1\n\n\t2\nc\t1 2\n", encoding="utf-8")
    for corpus in (
        Corpus(read_parallel(source, target), LETTERS, DIGITS),
        Corpus(read_tsv(table), LETTERS, DIGITS),
    ):
        ((inputs, labels, weights),) = corpus.batches(batch_size=9, shuffle_seed=None)
        one, two = DIGITS.encode(["1", "2"])
        assert inputs["source_ids"].tolist() == [[4, 5, 3], [6, 3, 0]]
        assert inputs["target_ids"].tolist() == [[2, *one, 0], [2, *one, *two]]
        assert labels.tolist() == [[*one, 3, 0], [*one, *two, 3]]
        assert weights.tolist() == [[1, 1, 0], [1, 1, 1]]


# Refusing.


@pytest.mark.parametrize("arguments", [{}, {"batch_size": 2, "batch_tokens": 9}])
def test_batches_and_dataset_want_exactly_one_limit_at_once(arguments: dict[str, int]) -> None:
    corpus = numbered_corpus(3)
    for make in (corpus.batches, corpus.dataset, corpus.plan):
        with pytest.raises(ValueError, match="exactly one of"):
            make(**arguments, shuffle_seed=1)


def test_negative_epochs_are_refused_at_once() -> None:
    corpus = numbered_corpus(3)
    with pytest.raises(ValueError, match="`epoch` must be at least 0"):
        corpus.batches(batch_size=2, shuffle_seed=1, epoch=-1)
    with pytest.raises(ValueError, match="`first_epoch` must be at least 0"):
        corpus.dataset(batch_size=2, shuffle_seed=1, first_epoch=-1)


# Batches and epochs.


@pytest.mark.parametrize("limit", [{"batch_size": 7}, {"batch_tokens": 90}])
@pytest.mark.parametrize("seed", [None, 5])
def test_the_plan_describes_the_batches(limit: dict[str, int], seed: int | None) -> None:
    corpus = numbered_corpus(60)
    plan = corpus.plan(**limit, shuffle_seed=seed)
    batches = list(corpus.batches(**limit, shuffle_seed=seed, epoch=2))
    assert order(batches) == [list(map(str, rows)) for rows in plan.rows(2)]
    ids = np.concatenate(
        [side.ravel() for inputs, labels, _ in batches for side in (inputs["source_ids"], labels)]
    )
    assert plan.padding(2) == pytest.approx(np.mean(ids == Tokenizer.pad_id), abs=1e-12)


def test_on_disk_the_batches_are_the_same() -> None:
    in_memory, on_disk = numbered_corpus(60), Corpus(numbered(60), LETTERS, DIGITS, on_disk=True)
    assert on_disk.report == in_memory.report
    given: dict[str, Any] = {"batch_tokens": 90, "shuffle_seed": 5, "epoch": 1}
    for ours, theirs in zip(on_disk.batches(**given), in_memory.batches(**given), strict=True):
        np.testing.assert_array_equal(ours[0]["source_ids"], theirs[0]["source_ids"])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_a_pair_above_the_tokens_is_a_batch_of_its_own() -> None:
    pairs = [("a", "1"), ("b" * 60, " ".join(["2"] * 60)), ("c", "3"), ("d" * 40, "4")]
    corpus = Corpus(pairs, LETTERS, DIGITS)
    batches = order(corpus.batches(batch_tokens=30, shuffle_seed=1))
    assert sorted(map(sorted, batches)) == [["1", "3"], ["2"], ["4"]]


@pytest.mark.parametrize("pairs", [1, 2, 3, 4, 5, 9, 40])
def test_each_iteration_over_the_dataset_is_the_next_epoch(pairs: int) -> None:
    corpus = numbered_corpus(pairs)
    dataset = corpus.dataset(batch_size=1, shuffle_seed=5, first_epoch=2)
    assert int(dataset.cardinality()) == pairs
    for epoch in (2, 3, 4):
        expected = order(corpus.batches(batch_size=1, shuffle_seed=5, epoch=epoch))
        assert order(dataset) == expected


def test_no_thread_tunes_the_dataset() -> None:
    # The end of an epoch would wait until it wakes up.
    dataset = numbered_corpus(9).dataset(batch_size=1, shuffle_seed=5)
    assert dataset.options().autotune.enabled is False


def test_dataset_gives_the_batches_with_open_dimensions() -> None:
    corpus = numbered_corpus(50)
    dataset = corpus.dataset(batch_tokens=120, shuffle_seed=5)
    inputs, labels, weights = dataset.element_spec
    assert {spec.shape.as_list() == [None, None] for spec in (*inputs.values(), labels)} == {True}
    assert (labels.dtype.name, weights.dtype.name) == ("int32", "float32")
    expected = list(corpus.batches(batch_tokens=120, shuffle_seed=5))
    for made, wanted in zip(to_numpy(dataset), expected, strict=True):
        for one, other in zip(keras.tree.flatten(made), keras.tree.flatten(wanted), strict=True):
            np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("pairs", [2, 3, 4, 5, 40])
def test_an_iteration_that_is_given_up_does_not_count(pairs: int) -> None:
    corpus = numbered_corpus(pairs)
    dataset = corpus.dataset(batch_size=1, shuffle_seed=5)
    for _ in range(3):
        next(iter(dataset))
    assert order(dataset) == order(corpus.batches(batch_size=1, shuffle_seed=5, epoch=0))
    next(iter(dataset))
    assert order(dataset) == order(corpus.batches(batch_size=1, shuffle_seed=5, epoch=1))


def test_without_a_seed_every_iteration_is_the_same() -> None:
    dataset = numbered_corpus(40).dataset(batch_size=3, shuffle_seed=None)
    assert order(dataset) == order(dataset)


class Recorder(keras.Model):
    """Predicts the next target id from the last one, and notes the batches it is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[str]] = []
        self.embedding = keras.layers.Embedding(104, 104)

    def call(self, inputs: dict[str, Any]) -> Any:
        return self.embedding(inputs["target_ids"])

    def train_step(self, data: Any) -> Any:
        self.seen.extend(order([data]))
        return super().train_step(data)


def recorder() -> Recorder:
    model = Recorder()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    return model


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("batches", [2, 3, 4, 12])
def test_fit_sees_every_epoch_once_and_goes_on_where_it_stopped(batches: int) -> None:
    corpus = numbered_corpus(3 * batches)
    made = [corpus.batches(batch_size=3, shuffle_seed=5, epoch=epoch) for epoch in range(4)]
    expected = [batch for epoch in made for batch in order(epoch)]
    evaluation = corpus.dataset(batch_size=5, shuffle_seed=None)

    model = recorder()
    dataset = corpus.dataset(batch_size=3, shuffle_seed=5)
    model.fit(dataset, epochs=2, validation_data=evaluation, shuffle=False, verbose=0)
    model.fit(
        dataset, initial_epoch=2, epochs=3, shuffle=False, verbose=0
    )  # goes on with the same dataset
    assert model.seen == expected[: 3 * batches]

    resumed = recorder()
    dataset = corpus.dataset(batch_size=3, shuffle_seed=5, first_epoch=2)
    resumed.fit(dataset, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
    assert resumed.seen == expected[2 * batches :]


@pytest.mark.corpora
def test_captions_are_read_whole_and_little_is_padded(corpora: Path) -> None:
    source, target = (
        corpora / "multi30k/tok" / f"train.lc.norm.tok.{side}" for side in ("en", "de")
    )
    tokenizers = [
        train_tokenizer("word", (pair[side] for pair in read_parallel(source, target)), 4000)
        for side in (0, 1)
    ]
    corpus = Corpus(read_parallel(source, target), *tokenizers)
    assert (corpus.report.pairs_read, corpus.report.kept) == (29_000, 29_000)
    plan = corpus.plan(batch_tokens=4096, shuffle_seed=1)
    assert plan.padding(1) < 0.045  # 3.6 % measured
