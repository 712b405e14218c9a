"""Subword regularisation: drawn as the model says, by the seed alone, and the same text again."""

from collections import Counter

import numpy as np
import pytest

from keras_s2s.corpus import Corpus
from keras_s2s.text import CharTokenizer, SubwordSampling, Tokenizer, train_tokenizer

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
    drawn = SubwordSampling(0.3).encode(tokenizer, TEXTS * 4, seed=1)

    assert tokenizer.decode(drawn) == TEXTS * 4
    assert drawn != tokenizer.encode(TEXTS * 4)
    assert drawn[: len(TEXTS)] != drawn[len(TEXTS) : 2 * len(TEXTS)]


def test_the_seed_decides(tokenizer: Tokenizer) -> None:
    sampling = SubwordSampling(0.3)
    first = sampling.encode(tokenizer, TEXTS, seed=5)
    other = sampling.encode(tokenizer, TEXTS, seed=6)

    assert other != first
    assert sampling.encode(tokenizer, TEXTS, seed=5) == first


def test_bpe_without_dropout_is_the_usual_segmentation() -> None:
    bpe = train_tokenizer("bpe", LINES, SIZE)

    assert SubwordSampling(0.0).encode(bpe, TEXTS, seed=1) == bpe.encode(TEXTS)


def test_bpe_with_all_merges_left_out_is_characters() -> None:
    bpe = train_tokenizer("bpe", LINES, SIZE)
    (drawn,) = SubwordSampling(1.0).encode(bpe, ["lower"], seed=1)

    assert "".join(bpe.pieces(drawn)) == "▁lower"
    assert len(drawn) == len("▁lower")


def test_unigram_draws_with_the_probability_of_its_segmentations(unigram: Tokenizer) -> None:
    """Of the two best ones, by the model's own log-probabilities, with α = ½."""
    processor = unigram.processor  # type: ignore[attr-defined]
    pieces = processor.nbest_encode_as_pieces("slower", 2)
    scores = [
        sum(processor.get_score(processor.piece_to_id(piece)) for piece in row) for row in pieces
    ]
    odds = np.exp(0.5 * (np.array(scores) - max(scores)))
    expected = odds / odds.sum()

    count = 4000
    drawn = SubwordSampling(0.5, nbest=2).encode(unigram, ["slower"] * count, seed=3)
    found = Counter(tuple(unigram.pieces(ids)) for ids in drawn)

    assert set(found) == {tuple(row) for row in pieces}
    share = found[tuple(pieces[0])] / count
    # Three standard deviations of a share of 4,000 draws.
    assert share == pytest.approx(expected[0], abs=3 * np.sqrt(0.25 / count))
    assert abs(expected[0] - 0.5) > 4 * np.sqrt(0.25 / count)  # and not by tossing a coin


def test_what_cannot_be_drawn_is_refused(unigram: Tokenizer) -> None:
    with pytest.raises(TypeError, match=r"Only SentencePiece models.*; got CharTokenizer"):
        SubwordSampling(0.1).encode(CharTokenizer(["a"]), ["a"], seed=1)
    with pytest.raises(ValueError, match=r"`nbest` must be -1 for a bpe model.*; got 4"):
        SubwordSampling(0.1, 4).encode(train_tokenizer("bpe", LINES, SIZE), ["low"], seed=1)
    for seed in (-1, 2**32 - 1):
        with pytest.raises(ValueError, match=f"`seed` must be .*; got {seed}"):
            SubwordSampling(0.1).encode(unigram, ["low"], seed=seed)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((1.5,), ValueError, "`alpha` must be at least 0 and at most 1; got 1.5"),
        ((float("nan"),), ValueError, "`alpha` must be"),
        (("0.1",), TypeError, "`alpha` must be a number; got '0.1'"),
        ((0.1, 1), ValueError, "`nbest` must be -1, or from 2 to 512; got 1"),
        ((0.1, 513), ValueError, "`nbest` must be"),
        ((0.1, 2.0), TypeError, "`nbest` must be a whole number; got 2.0"),
    ],
)
def test_numbers_out_of_range_are_refused(
    given: tuple[object, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SubwordSampling(*given)  # type: ignore[arg-type]


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
