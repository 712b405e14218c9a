"""Tests of the metrics: their values, their signatures and their errors."""

import functools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_s2s.cli import options
from keras_s2s.evaluation.metrics import (
    METRICS,
    bleu,
    chrf,
    exact_match,
    phone_error_rate,
    score_outputs,
    word_error_rate,
)
from keras_s2s.system.version import __version__

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


def edits(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """Levenshtein's recursion, as it is defined."""

    @functools.cache
    def distance(i: int, j: int) -> int:
        if min(i, j) == 0:
            return max(i, j)
        return min(
            distance(i - 1, j) + 1,
            distance(i, j - 1) + 1,
            distance(i - 1, j - 1) + (left[i - 1] != right[j - 1]),
        )

    return distance(len(left), len(right))


def measured(output: list[str], reference: list[str]) -> int:
    """Edits as the phone error rate counts them: the rate times the length of the reference."""
    rate = phone_error_rate([" ".join(output)], [" ".join(reference)]).value
    return round(rate * max(len(reference), 1))


@given(WORDS, WORDS)
def test_edit_distance_is_levenshteins(left: list[str], right: list[str]) -> None:
    assert measured(left, right) == edits(tuple(left), tuple(right))


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_metric(a: list[str], b: list[str], c: list[str]) -> None:
    assert (measured(a, b) == 0) == (a == b)
    assert measured(a, b) == measured(b, a)
    assert measured(a, c) <= measured(a, b) + measured(b, c)


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [("kitten", "sitting", 3), ("saturday", "sunday", 3), ("", "abc", 3), ("abc", "abc", 0)],
)
def test_edit_distance_of_known_words(left: str, right: str, edits: int) -> None:
    assert measured(list(left), list(right)) == edits


TOKENS = st.lists(st.sampled_from(["AA", "AE", "a", "ä", "字", "97", "😀", "AA0"]), max_size=80)


@given(TOKENS, TOKENS)
def test_tokens_of_any_length_are_counted_whole(left: list[str], right: list[str]) -> None:
    assert measured(left, right) == edits(tuple(left), tuple(right))


def test_equal_outputs_have_the_best_scores() -> None:
    lines = ["Ein Mann fährt ein rotes Fahrrad.", "Zwei Hunde spielen im Schnee ."]
    scores = score_outputs(lines, lines)

    assert scores.bleu == pytest.approx(100)
    assert scores.chrf == pytest.approx(100)
    assert (scores.exact_match, scores.token_error_rate, scores.sentences) == (1.0, 0.0, 2)


def test_bleu_is_papinenis() -> None:
    # 6 of 7, 4 of 6, 2 of 5 and 1 of 4 n-grams occur in the reference; as long, so no penalty.
    # BLEU = 100·(6/7 · 4/6 · 2/5 · 1/4)^(1/4) = 48.8923
    output, reference = "the cat sat on the red mat", "the cat is on the red mat"
    precisions = 6 / 7 * 4 / 6 * 2 / 5 * 1 / 4

    assert score_outputs([output], [reference]).bleu == pytest.approx(100 * precisions**0.25)


def test_bleu_of_a_short_output_is_lowered() -> None:
    # All n-grams of the 4 tokens are right; the penalty is exp(1 − 5/4).
    scores = score_outputs(["a b c d"], ["a b c d e"], tokenize="none")

    assert scores.bleu == pytest.approx(100 * 2.718281828459045**-0.25)


def test_bleu_is_of_the_corpus_not_a_mean_of_sentences() -> None:
    outputs, references = ["a b c d e", "x"], ["a b c d e", "y"]

    assert score_outputs(outputs, references).bleu == pytest.approx(
        100 * (5 / 6) ** 0.25  # of 6 unigrams 5 are right; longer n-grams come from one line only
    )


def test_scores_are_cased_and_detokenised_by_default() -> None:
    line, tokenised, lower = "Das ist gut, ja.", "Das ist gut , ja .", "das ist gut, ja."

    assert score_outputs([tokenised], [line]).bleu == pytest.approx(100)
    assert score_outputs([lower], [line]).bleu < 100
    assert score_outputs([tokenised], [line], tokenize="none").bleu < 100


def test_exact_match_counts_equal_lines() -> None:
    assert score_outputs(["a", "b", "c "], ["a", "x", "c"]).exact_match == pytest.approx(1 / 3)


def test_token_error_rate_is_edits_over_reference_tokens() -> None:
    # One substitution and one insertion against 2 + 3 tokens.
    assert score_outputs(["a b", "c d x e"], ["a z", "c d e"]).token_error_rate == 2 / 5


def test_token_error_rate_can_exceed_one() -> None:
    assert score_outputs(["a b c"], ["x"]).token_error_rate == 3.0


def test_any_of_several_references_will_do() -> None:
    outputs, references = ["a b", "c", "d"], [["x y", "a b"], ["c", "e f"], ["e"]]
    scores = score_outputs(outputs, references)

    assert scores.exact_match == pytest.approx(2 / 3)
    assert word_error_rate(outputs, references).value == pytest.approx(1 / 3)
    assert "nrefs:var" in scores.bleu_signature
    assert scores.match_signature.startswith("nrefs:var|")


PRONUNCIATIONS = st.lists(WORDS.filter(bool), min_size=1, max_size=3)


@given(st.lists(st.tuples(WORDS, PRONUNCIATIONS), min_size=1, max_size=4))
def test_phone_error_rate_is_of_the_closest_reference(
    words: list[tuple[list[str], list[list[str]]]],
) -> None:
    total = length = 0
    for said, allowed in words:
        fewest = min(edits(tuple(said), tuple(each)) for each in allowed)
        closest = next(e for e in allowed if edits(tuple(said), tuple(e)) == fewest)
        total, length = total + fewest, length + len(closest)
    found = phone_error_rate(
        [" ".join(said) for said, _ in words],
        [[" ".join(each) for each in allowed] for _, allowed in words],
    )
    assert found.value == pytest.approx(total / length)


def test_bleu_of_several_references_is_sacrebleus() -> None:
    outputs = ["a b c d e f"]
    first, second = "a b c d x y", "z c d e f w"
    alone = bleu(outputs, [first], tokenize="none").value
    both = bleu(outputs, [[first, second]], tokenize="none")
    # Every 1-, 2- and 3-gram is in one of them, and of three 4-grams all but b c d e.
    expected = 100 * (2 / 3) ** 0.25
    assert both.value == pytest.approx(expected)
    assert both.value > alone
    assert "nrefs:2" in both.signature


def test_empty_references_are_scored() -> None:
    scores = score_outputs(["", "a"], ["", ""])

    assert scores.exact_match == 0.5
    assert scores.token_error_rate == 1.0


def test_printed_scores_name_their_signatures() -> None:
    printed = str(score_outputs(["a b c d"], ["a b c d"], tokenize="char"))

    lines = dict(
        zip(("bleu", "chrf", "exact", "wer", "errors", "count"), printed.splitlines(), strict=True)
    )
    assert lines["bleu"].split()[:2] == ["BLEU", "100.00"]
    assert "tok:char|smooth:exp|version:" in lines["bleu"]
    assert "nc:6|nw:0|" in lines["chrf"]
    signature = f"version:keras_s2s-{__version__}"
    assert lines["exact"].split()[:4] == ["exact", "match", "100.00", "%"]
    assert lines["exact"].endswith(f"nrefs:1|unit:output|reference:any|{signature}")
    assert lines["wer"].split()[:5] == ["WER", "(no", "match)", "0.00", "%"]
    assert lines["errors"].endswith(f"nrefs:1|unit:token|reference:closest|{signature}")
    assert lines["count"].split() == ["sentences", "1"]


@pytest.mark.parametrize(
    ("outputs", "references", "message"),
    [
        (["a"], ["a", "b"], "got 1 outputs and 2 references"),
        ([], [], "nothing to score"),
        (["a", "b"], [["a"], []], "Every output needs a reference; output 1 has none"),
    ],
)
def test_lists_that_cannot_be_scored_are_refused(
    outputs: list[str], references: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_outputs(outputs, references)


def test_one_string_is_not_taken_for_a_list() -> None:
    with pytest.raises(TypeError, match="`outputs` must be a list of strings; got one str"):
        score_outputs("ab", ["a", "b"])


def test_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`tokenize` must be one of .*13a.*; got 'words'"):
        score_outputs(["a"], ["a"], tokenize="words")


def test_command_line_offers_the_tokenizers_of_sacrebleu() -> None:
    from sacrebleu.metrics import BLEU

    assert set(get_args(options.BleuTokenizer)) == set(BLEU.TOKENIZERS)


def test_each_metric_computes_its_score() -> None:
    outputs, references = ["a b c d x", "c"], [["a b c d e", "a"], ["c"]]

    computed = {
        name: metric.score(outputs, references, tokenize="none")
        for name, metric in METRICS.items()
        if metric.needs_outputs
    }
    assert computed == {
        "bleu": bleu(outputs, references, tokenize="none"),
        "chrf": chrf(outputs, references),
        "wer": word_error_rate(outputs, references),
        "per": phone_error_rate(outputs, references),
        "exact_match": exact_match(outputs, references),
    }


def test_direction_and_unit_of_each_metric() -> None:
    best = {name: metric.points(1.0) for name, metric in METRICS.items()}
    rising = {name for name, metric in METRICS.items() if metric.higher_is_better}

    assert all(metric.name == name for name, metric in METRICS.items())
    assert rising == {"bleu", "chrf", "exact_match"}
    assert {name for name, value in best.items() if value == 100} == {"wer", "per", "exact_match"}
    labels = ["perplexity", "BLEU", "chrF2", "WER, %", "PER, %", "exact match, %"]
    assert [metric.label for metric in METRICS.values()] == labels


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("perplexity", 3.456, "3.46"), ("bleu", 7.0, "7.00"), ("exact_match", 0.5, "50.00%")],
)
def test_values_are_printed_in_columns(name: str, value: float, text: str) -> None:
    metric = METRICS[name]

    assert metric.text(value) == text
    assert metric.template.format(value).endswith(f" {text}")


def test_perplexity_is_no_score_of_outputs() -> None:
    assert not METRICS["perplexity"].needs_outputs
    with pytest.raises(TypeError, match="`perplexity` does not score outputs"):
        METRICS["perplexity"].score(["a"], ["a"])
