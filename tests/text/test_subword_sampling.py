"""Subword sampling draws as the model says, by the seed alone, and decodes to the same text."""

import itertools
import os
import pickle
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from keras_s2s.data.corpus import Corpus
from keras_s2s.text import (
    CharTokenizer,
    SentencePieceTokenizer,
    SubwordSampling,
    Tokenizer,
    train_tokenizer,
)

LINES = ["low lower lowest", "new newer newest", "slow slower", "few fewer fewest"] * 5
SIZE = 21  # the most that unigram can make of them
TEXTS = [f"{a} {b}" for a in ("lower", "newest", "slow") for b in ("fewer", "low", "new")]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(request.param, LINES, SIZE)


@pytest.fixture(scope="module")
def unigram() -> Tokenizer:
    return train_tokenizer("unigram", LINES, SIZE)


def test_drawn_segmentations_are_of_the_same_text(tokenizer: Tokenizer) -> None:
    drawn = SubwordSampling(0.3).sampler(tokenizer).encode(TEXTS * 4, seed=1)

    assert tokenizer.decode(drawn) == TEXTS * 4
    assert drawn != tokenizer.encode(TEXTS * 4)
    assert drawn[: len(TEXTS)] != drawn[len(TEXTS) : 2 * len(TEXTS)]


def test_the_seed_decides(tokenizer: Tokenizer) -> None:
    sampler = SubwordSampling(0.3).sampler(tokenizer)
    first = sampler.encode(TEXTS, seed=5)
    other = sampler.encode(TEXTS, seed=6)

    assert other != first
    again = SubwordSampling(0.3).sampler(tokenizer)
    assert again.encode(TEXTS, seed=5) == first


def test_bpe_without_dropout_is_the_usual_segmentation() -> None:
    bpe = train_tokenizer("bpe", LINES, SIZE)

    assert SubwordSampling(0.0).sampler(bpe).encode(TEXTS, seed=1) == bpe.encode(TEXTS)


def test_bpe_with_all_merges_left_out_is_characters() -> None:
    bpe = train_tokenizer("bpe", LINES, SIZE)
    (drawn,) = SubwordSampling(1.0).sampler(bpe).encode(["lower"], seed=1)

    assert "".join(bpe.pieces(drawn)) == "▁lower"
    assert len(drawn) == len("▁lower")


def segmentations(word: str, pieces: dict[str, float]) -> dict[tuple[str, ...], float]:
    """Every segmentation of a word, with the sum of its scores: by trying all cuts."""
    found = {}
    for cuts in itertools.product((False, True), repeat=len(word) - 1):
        bounds = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), len(word)]
        parts = tuple(word[a:b] for a, b in itertools.pairwise(bounds))
        if all(part in pieces for part in parts):
            found[parts] = sum(pieces[part] for part in parts)
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.2, 1.0])
def test_unigram_draws_with_the_probability_of_each_segmentation(
    unigram: SentencePieceTokenizer, alpha: float
) -> None:
    processor = unigram.processor
    scores = {processor.id_to_piece(i): processor.get_score(i) for i in range(4, SIZE)}
    every = segmentations("▁slower", scores)
    odds = {parts: np.exp(alpha * score) for parts, score in every.items()}
    count = 20_000

    drawn = SubwordSampling(alpha).sampler(unigram).encode(["slower"] * count, seed=3)
    found = Counter(tuple(map(processor.id_to_piece, ids)) for ids in drawn)

    assert set(found) <= set(every)
    for parts, weight in odds.items():
        share = weight / sum(odds.values())
        # Four standard deviations of a share of so many draws.
        assert found[parts] / count == pytest.approx(
            share, abs=4 * np.sqrt(share * (1 - share) / count) + 1e-9
        )


def test_bpe_leaves_merges_out_with_their_probability() -> None:
    """Against the rule without shortcuts: every merge that comes up is left out by chance."""
    bpe = train_tokenizer("bpe", LINES, SIZE)
    assert isinstance(bpe, SentencePieceTokenizer)
    alpha, count = 0.3, 20_000
    ranks = {bpe.processor.id_to_piece(i): bpe.processor.get_score(i) for i in range(4, SIZE)}
    draw = np.random.default_rng(1)

    def slowly(word: str) -> tuple[str, ...]:
        pieces = list(word)
        left_out: set[tuple[int, int]] = set()  # by where the pair begins and ends in the word
        while True:
            places = np.cumsum([0, *map(len, pieces)])
            pairs = [
                (-ranks[a + b], i)
                for i, (a, b) in enumerate(itertools.pairwise(pieces))
                if a + b in ranks and (places[i], places[i + 2]) not in left_out
            ]
            if not pairs:
                return tuple(pieces)
            _, i = min(pairs)
            if draw.random() < alpha:
                left_out.add((places[i], places[i + 2]))
            else:
                pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]

    expected = Counter(slowly("▁newest") for _ in range(count))
    drawn = SubwordSampling(alpha).sampler(bpe).encode(["newest"] * count, seed=3)
    found = Counter(tuple(map(bpe.processor.id_to_piece, ids)) for ids in drawn)

    assert len(found) > 5
    for parts in {*expected, *found}:
        # Four standard deviations of the difference of two such shares.
        share = expected[parts] / count
        assert found[parts] / count == pytest.approx(
            share, abs=4 * np.sqrt(2 * max(share, 1 / count) / count)
        )


IN_A_FRESH_PROCESS = """
import pickle, sys
from keras_s2s.text import SentencePieceTokenizer, SubwordSampling
model, texts, drawn = pickle.load(sys.stdin.buffer)
sampler = SubwordSampling(0.3).sampler(SentencePieceTokenizer(model))
assert sampler.encode(texts, seed=4) == drawn
"""


@pytest.mark.thorough
@pytest.mark.quick_cases(1)
def test_another_process_draws_the_same(tokenizer: SentencePieceTokenizer) -> None:
    drawn = SubwordSampling(0.3).sampler(tokenizer).encode(TEXTS, seed=4)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_FRESH_PROCESS],
        input=pickle.dumps((tokenizer.model, TEXTS, drawn)),
        env={**os.environ, "PYTHONHASHSEED": "77"},
        timeout=300,
        check=True,
    )


def test_unknown_words_and_odd_spaces_read_as_usual(tokenizer: Tokenizer) -> None:
    texts = ["", "  ", "low  猫 new", " slow ", "ﬁ", "猫"]
    usual = tokenizer.decode(tokenizer.encode(texts))

    assert tokenizer.decode(SubwordSampling(0.3).sampler(tokenizer).encode(texts, seed=1)) == usual


def test_other_tokenizers_have_nothing_to_draw() -> None:
    with pytest.raises(TypeError, match=r"Only SentencePiece models.*; got CharTokenizer"):
        SubwordSampling(0.1).sampler(CharTokenizer(["a"]))


@pytest.mark.parametrize(
    ("alpha", "error", "message"),
    [
        (1.5, ValueError, "`alpha` must be at least 0 and at most 1; got 1.5"),
        (float("nan"), ValueError, "`alpha` must be"),
        ("0.1", TypeError, "`alpha` must be a number; got '0.1'"),
    ],
)
def test_numbers_out_of_range_are_refused(alpha: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SubwordSampling(alpha)


# In a corpus.


def corpus_of(tokenizer: Tokenizer, **given: object) -> Corpus:
    return Corpus(
        [(text, text) for text in TEXTS],
        tokenizer,
        tokenizer,
        source_sampling=SubwordSampling(0.3),
        **given,  # type: ignore[arg-type]
    )


def ids_of(batches: object) -> list[tuple[list, list]]:
    return [
        (np.asarray(inputs["source_ids"]).tolist(), np.asarray(labels).tolist())
        for inputs, labels, _ in batches  # type: ignore[attr-defined]
    ]


def test_every_epoch_is_drawn_anew_and_by_its_number_alone(tokenizer: Tokenizer) -> None:
    corpus = corpus_of(tokenizer)
    epochs = [ids_of(corpus.batches(batch_size=4, shuffle_seed=1, epoch=e)) for e in range(3)]
    again = ids_of(corpus_of(tokenizer).batches(batch_size=4, shuffle_seed=1, epoch=2))

    def sources(epoch: list[tuple[list, list]]) -> list[list[int]]:
        return sorted(row for source, _ in epoch for row in source)

    assert again == epochs[2]
    assert sources(epochs[0]) != sources(epochs[1]) != sources(epochs[2])
    for epoch in epochs:
        rows = [row for source, _ in epoch for row in source]
        assert sorted(tokenizer.decode(rows)) == sorted(TEXTS)
        # The targets are not drawn.
        assert sorted(
            tokenizer.decode([[i for i in row if i != 0] for _, labels in epoch for row in labels])
        ) == sorted(TEXTS)


def test_a_dataset_that_goes_on_draws_what_it_would_have_drawn(unigram: Tokenizer) -> None:
    def dataset(first_epoch: int) -> object:
        return corpus_of(unigram).dataset(batch_size=3, shuffle_seed=1, first_epoch=first_epoch)

    whole, resumed = dataset(0), dataset(1)
    first, second = ids_of(whole), ids_of(whole)

    assert ids_of(resumed) == second
    assert first != second


def test_without_a_seed_nothing_is_drawn(unigram: Tokenizer) -> None:
    plain = Corpus([(text, text) for text in TEXTS], unigram, unigram)

    assert ids_of(corpus_of(unigram).batches(batch_size=4, shuffle_seed=None)) == ids_of(
        plain.batches(batch_size=4, shuffle_seed=None)
    )


def test_a_draw_above_the_length_limit_gives_way_to_the_usual_segmentation() -> None:
    bpe = train_tokenizer("bpe", LINES, SIZE)
    longest = 1 + max(map(len, bpe.encode(TEXTS)))
    sampling = SubwordSampling(1.0)  # characters: above the limit for many
    pairs = [(text, text) for text in TEXTS]
    free = Corpus(pairs, bpe, bpe, source_sampling=sampling)
    limited = Corpus(pairs, bpe, bpe, source_sampling=sampling, max_source_length=longest)

    def width(corpus: Corpus) -> int:
        batches = corpus.batches(batch_size=len(TEXTS), shuffle_seed=1)
        return max(inputs["source_ids"].shape[1] for inputs, _, _ in batches)

    assert len(limited) == len(TEXTS)
    assert width(limited) <= longest < width(free)


def test_a_corpus_refuses_what_cannot_be_drawn_at_once() -> None:
    letters = CharTokenizer(list("abc"))
    with pytest.raises(TypeError, match="Only SentencePiece models"):
        Corpus([("a", "b")], letters, letters, target_sampling=SubwordSampling(0.1))
