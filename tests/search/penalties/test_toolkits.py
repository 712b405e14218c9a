"""Tests of penalties: formulas in NumPy, bounds against all lengths, configurations and errors."""

import json
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.search import (
    GNMT,
    PENALTIES,
    TFA,
    BeamSearch,
    GNMTCoverage,
    GoogleSeq2Seq,
    JoeyNMT,
    Marian,
    NoPenalty,
    OpenNMTtf,
    Sockeye,
    length_penalty,
)
from oracles import reference
from support.backends import compiled
from support.tables import END, Tables, check, hypotheses

pytestmark = pytest.mark.backend_neutral

quick = settings(deadline=None, max_examples=50, derandomize=True)
GNMT_FAMILY = (GNMT, TFA, OpenNMTtf, JoeyNMT)


# What each family's own program computes, with the length as that program counts it at the end of a
# hypothesis. One log-probability, tokens without the end token, source tokens.


def formula(penalty, log_prob, words, source):
    if type(penalty) is NoPenalty:
        return log_prob
    if type(penalty) in GNMT_FAMILY:
        return log_prob / ((5 + words + 1) / 6) ** penalty.weight
    if type(penalty) is GoogleSeq2Seq:
        return log_prob / ((5 + words) / 6) ** penalty.weight
    length = words + 1
    if type(penalty) is Marian:
        return (log_prob - penalty.word_penalty * length) / length**penalty.normalize
    assert type(penalty) is Sockeye
    divisor = (penalty.beta + length) ** penalty.alpha / (penalty.beta + 1) ** penalty.alpha
    brevity = min(0, 1 - penalty.length_ratio * source / length)
    cost = -log_prob / divisor - penalty.brevity_weight * brevity
    return -cost


shares = st.floats(0, 5)
penalties = st.one_of(
    st.builds(NoPenalty),
    *(st.builds(kind, shares) for kind in (*GNMT_FAMILY, GoogleSeq2Seq)),
    st.builds(Sockeye, shares, shares, shares, st.floats(0.1, 3)),
    st.builds(Marian, st.floats(0, 3), st.floats(-3, 3)),
)


def score(penalty, log_prob, length, source=7):
    found = penalty(np.float32([log_prob]), np.int32([length]), np.int32([source]))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    return float(found[0])


@quick
@given(penalties, st.floats(-100, 0), st.integers(0, 60), st.integers(1, 60))
def test_scores_are_those_of_the_formulas(penalty, log_prob, words, source):
    expected = formula(penalty, log_prob, words, source)
    # float32, and up to five digits lost where a word penalty cancels the log-probability.
    found = score(penalty, log_prob, words + 1, source)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("kind", GNMT_FAMILY)
@pytest.mark.parametrize(
    ("weight", "log_prob", "length", "expected"),
    [
        (1.0, -6.0, 1, -6.0),  # ((5 + 1) / 6)^1 = 1
        (1.0, -6.0, 7, -3.0),  # ((5 + 7) / 6)^1 = 2
        (2.0, -6.0, 7, -1.5),
        (0.5, -6.0, 19, -3.0),  # (24 / 6)^½ = 2
        (0.0, -6.0, 50, -6.0),
    ],
)
def test_gnmt_is_the_formula_of_the_paper(kind, weight, log_prob, length, expected):
    assert score(kind(weight), log_prob, length) == pytest.approx(expected, rel=1e-6)
    assert reference.gnmt(log_prob, length, weight) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    # A log-probability of −6, 8 tokens with the end, a source of 12.
    [
        (NoPenalty(), -6.0),
        (GoogleSeq2Seq(1.0), -3.0),  # (5 + 7) / 6 = 2
        (Sockeye(), -6 / 8),
        (Sockeye(alpha=1, beta=5), -6 * 6 / 13),  # GNMT's
        (Sockeye(brevity_weight=2), -6 / 8 + 2 * (1 - 12 / 8)),
        (Sockeye(brevity_weight=2, length_ratio=0.5), -6 / 8),  # longer than 0.5 · 12
        (Marian(), -6 / 8),
        (Marian(0.0, 0.5), -6 - 4),
        (Marian(1.0, -0.5), (-6 + 4) / 8),
    ],
)
def test_scores_worked_out_by_hand(penalty, expected):
    assert score(penalty, -6.0, 8, 12) == pytest.approx(expected, rel=1e-6)


@quick
@given(
    penalties, st.floats(-60, 0), st.integers(1, 30), st.integers(0, 30), st.floats(0, 9), shares
)
def test_bound_is_the_best_score_of_all_lengths(
    penalty, log_prob, shortest, more, falls_by, source
):
    source = int(10 * source) + 1
    lengths = np.arange(shortest, shortest + more + 1, dtype="int32")

    def scores(log_prob):
        sources = np.full(lengths.shape, source, "int32")
        return np.array(penalty(np.full(lengths.shape, log_prob, "float32"), lengths, sources))

    ends = (np.int32([shortest]), np.int32([shortest + more]), np.int32([source]))
    bound = float(penalty.bound(np.float32([log_prob]), *ends)[0])
    # Both are float32 operations on the same numbers; `power` need not be monotone in its last bit.
    close = 1e-5 * max(1.0, abs(bound))
    assert abs(bound - scores(log_prob).max()) <= close
    assert scores(log_prob - falls_by).max() <= bound + close


@pytest.mark.parametrize(
    ("penalty", "best"),
    [
        # (−4 − l) / √l falls from 4 on, where it rises up to.
        (Marian(0.5, 1.0), 4),
        (Marian(0.0, 1.0), 1),
        (Marian(1.0, 1.0), 20),
        # (−4 + 2·l) / l²: −2, 0, 2/9, 1/4, 6/25
        (Marian(2.0, -2.0), 4),
    ],
)
def test_marian_with_a_word_penalty_can_be_best_between_the_ends(penalty, best):
    scores = [score(penalty, -4.0, length) for length in range(1, 21)]
    assert int(np.argmax(scores)) + 1 == best
    bound = penalty.bound(np.float32([-4.0]), np.int32([1]), np.int32([20]))
    assert float(bound[0]) == pytest.approx(max(scores), rel=1e-6)


def test_bounds_broadcast_over_beams():
    log_probs, lengths = np.float32([[-1, -9, -4], [-30, 0, -2]]), np.int32([[1, 2, 3], [4, 5, 6]])
    longest, sources = np.int32([[6], [20]]), np.int32([[5], [9]])
    for penalty in (Marian(0.5, 0.7), Sockeye(brevity_weight=1.0), GNMT(0.6), GoogleSeq2Seq(0.6)):
        found = np.array(compiled(penalty.bound)(log_probs, lengths, longest, sources))
        assert found.shape == (2, 3)
        for (row, k), value in np.ndenumerate(found):
            ends = range(lengths[row, k], longest[row, 0] + 1)
            values = [score(penalty, log_probs[row, k], x, sources[row, 0]) for x in ends]
            assert value == pytest.approx(max(values), rel=1e-5)


def test_a_place_without_a_hypothesis_keeps_a_bound_below_every_score():
    bound = Marian(0.5, 1e-6).bound(np.float32([-1e30]), np.int32([1]), np.int32([100]))
    assert -1e30 <= float(bound[0]) < -1e28


@quick
@given(penalties, st.floats(-100, 0), st.floats(1e-3, 50), st.integers(1, 60))
def test_a_less_probable_hypothesis_of_the_same_length_never_ranks_higher(
    penalty, log_prob, less, length
):
    assert score(penalty, log_prob - less, length) <= score(penalty, log_prob, length)


@quick
@given(shares, st.floats(-100, -1e-3), st.integers(1, 50))
def test_longer_is_never_worse_for_gnmt_at_the_same_log_probability(weight, log_prob, length):
    longer, shorter = (score(GNMT(weight), log_prob, x) for x in (length + 1, length))
    assert longer >= shorter * (1 + 1e-6)


# Coverage


@quick
@given(
    shares,
    st.lists(st.tuples(st.floats(0, 3, width=32), st.booleans()), min_size=1, max_size=6),
)
def test_coverage_is_the_sum_of_logarithms_over_real_positions(weight, positions):
    coverage, mask = (np.array([list(x)]) for x in zip(*positions, strict=True))
    expected = weight * sum(math.log(max(min(x, 1), 1e-10)) for x, real in positions if real)
    found = GNMTCoverage(weight)(coverage.astype("float32"), mask)
    assert found.shape == (1,)
    assert float(found[0]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_coverage_of_nothing_is_finite_and_padding_costs_nothing():
    coverage = np.zeros((2, 3, 4), "float32")  # (B, K, S)
    mask = np.array([[True, True, False, False], [False] * 4])[:, None]
    found = np.array(GNMTCoverage(0.5)(coverage, mask))
    # 0.5 · 2 · log 1e-10
    np.testing.assert_allclose(found, [[-23.0259] * 3, [0.0] * 3], rtol=1e-5)


# Names, configurations, errors


def test_every_family_has_a_name():
    assert {name: kind.__name__ for name, kind in PENALTIES.items()} == {
        "none": "NoPenalty",
        "gnmt": "GNMT",
        "tfa": "TFA",
        "opennmt_tf": "OpenNMTtf",
        "joeynmt": "JoeyNMT",
        "google_seq2seq": "GoogleSeq2Seq",
        "sockeye": "Sockeye",
        "marian": "Marian",
    }


def again(value):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(value)))
    return keras.saving.deserialize_keras_object(config)


@pytest.mark.parametrize("name", PENALTIES)
def test_round_trips_through_json_by_name(name):
    penalty = length_penalty(name)
    assert type(penalty) is PENALTIES[name]
    assert type(again(penalty)) is type(penalty)
    assert again(penalty).get_config() == penalty.get_config()


@pytest.mark.parametrize(
    ("penalty", "config"),
    [
        (GNMT(0.6), {"weight": 0.6}),
        (GoogleSeq2Seq(0.6), {"weight": 0.6}),
        (Marian(0.5, -1), {"normalize": 0.5, "word_penalty": -1.0}),
        (
            Sockeye(0.5, 2, 0.25, 1.5),
            {"alpha": 0.5, "beta": 2.0, "brevity_weight": 0.25, "length_ratio": 1.5},
        ),
        (GNMTCoverage(0.3), {"weight": 0.3}),
    ],
)
def test_round_trips_keep_every_setting(penalty, config):
    assert again(penalty).get_config() == config


def test_penalties_are_made_of_instances_numbers_and_names():
    penalty = Marian(0.5)
    assert length_penalty(penalty) is penalty
    assert length_penalty(1).get_config() == {"weight": 1.0}
    assert type(length_penalty(0.6)) is GNMT


@pytest.mark.parametrize("value", ["luong", None, True, GNMT, [0.6], GNMTCoverage(0.1)])
def test_what_is_no_penalty_is_an_error(value):
    expected = r"`length_penalty` must be one of 'none', 'gnmt', .* such as GNMT\(0.6\); got"
    with pytest.raises(ValueError, match=expected):
        length_penalty(value)


@pytest.mark.parametrize("weight", [-0.1, 100, "1", None, True, float("nan"), float("inf")])
def test_weight_out_of_range_is_an_error(weight):
    with pytest.raises(ValueError, match="penalty's `weight` must be a number from 0 to below 100"):
        GNMT(weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sockeye(alpha=-1), "`alpha` must be a number from 0 to below 100; got alpha=-1"),
        (lambda: Sockeye(beta=-1), "`beta` must be a number from 0 on; got beta=-1"),
        (lambda: Sockeye(brevity_weight="a"), "`brevity_weight` must be a number from 0 on"),
        (lambda: Sockeye(length_ratio=-1), "`length_ratio` must be a number from 0 on"),
        (lambda: Marian(normalize=-1), "`normalize` must be a number from 0 to below 100"),
        (lambda: Marian(word_penalty=math.inf), "`word_penalty` must be a finite number; got"),
        (lambda: GNMTCoverage(-1), "coverage penalty's `weight` must be a number from 0 on; got"),
    ],
)
def test_settings_out_of_range_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_brevity_without_source_lengths_is_an_error():
    arguments = (np.float32([-1.0]), np.int32([2]))
    message = r"needs the lengths of the sources; got source_lengths=None with brevity_weight=0.5"
    with pytest.raises(ValueError, match=message):
        Sockeye(brevity_weight=0.5)(*arguments)
    with pytest.raises(ValueError, match=message):
        Sockeye(brevity_weight=0.5).bound(*arguments, np.int32([3]))
    Sockeye()(*arguments)


def test_a_beam_search_ranks_by_any_of_them():
    logits = np.log(np.float32([0.1, 0.1, 0.1, 0.2, 0.4, 0.1]))
    table = np.broadcast_to(logits, (6, 6)).copy()

    def step(tokens, state):
        return keras.ops.take(keras.ops.convert_to_tensor(table), tokens, axis=0), state

    for name in set(PENALTIES) - {"none"}:
        result = BeamSearch(5, length_penalty(name), 5, max_length=4)(step, (), batch_size=1)
        log_probs, lengths = np.array(result.log_probs)[0], np.array(result.lengths)[0]
        expected = [
            formula(length_penalty(name), p, n - 1, 0)
            for p, n in zip(log_probs, lengths, strict=True)
        ]
        np.testing.assert_allclose(np.array(result.scores)[0], expected, rtol=1e-5)


# Searches under every penalty. What they rank by is worked out in float64 by `formula`.

FAMILIES = [
    NoPenalty(),
    GNMT(0.6),
    TFA(1.0),
    OpenNMTtf(3.0),
    JoeyNMT(2.0),
    GoogleSeq2Seq(1.0),
    Sockeye(),
    Sockeye(0.7, 5.0, brevity_weight=2.0, length_ratio=1.2),
    Marian(),
    Marian(0.5, 0.7),
    Marian(0.0, -1.0),
    Marian(1.5, -0.8),
]
SOURCE = 3  # of the tables


def ranked_by(penalty, coverage=None, tables=None, row=None):
    def rank(ids, total):
        found = formula(penalty, total, len(ids) - 1, SOURCE)
        if coverage is not None:
            covered = np.sum(tables.weights_of(row, ids), axis=0)
            found += coverage.weight * np.log(np.clip(covered, 1e-10, 1.0)).sum()
        return found

    return rank


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("penalty", FAMILIES, ids=lambda p: f"{type(p).__name__}{p.get_config()}")
def test_a_beam_as_wide_as_the_space_is_exhaustive_search(penalty):
    """All sequences in order, and with `n_best=1`, where it stops early, the best of them."""
    tables = Tables(rows=6, max_length=4, vocabulary=4, seed=61, columns=40, scale=1.0)
    for coverage in (None, GNMTCoverage(0.4)):
        every, one = (
            tables.search(BeamSearch(40, penalty, n, max_length=4, coverage_penalty=coverage))
            for n in (40, 1)
        )
        for row in range(6):
            rank = ranked_by(penalty, coverage, tables, row)
            expected = reference.exhaustive(tables.logits_of(row), 4, 4, END, rank)
            check(every, row, expected)
            check(one, row, expected[:1])


@pytest.mark.thorough
@quick
@given(
    penalty=penalties,
    seed=st.integers(0, 999),
    width=st.integers(1, 4),
    n_best=st.integers(1, 4),
    least=st.sampled_from([(0, 0), (0, 2), (0.5, 0.5)]),
    most=st.sampled_from([(0, 4), (1, 0), (0, 3)]),
)
def test_no_beam_stops_while_a_better_output_can_come(penalty, seed, width, n_best, least, most):
    """Against beams in lists that never stop early, with lengths as a·S + b."""
    tables = Tables(rows=2, max_length=4, vocabulary=4, seed=seed, scale=1.0)
    tables.logits[:, :, END] += 1
    n_best = min(n_best, width)
    search = BeamSearch(width, penalty, n_best, max_length=4, min_length=least, length_limit=most)
    result = tables.search(search)
    shortest, longest = (int(a * SOURCE + b) for a, b in (least, most))

    def choose(ids, log_probs):
        if len(ids) + 1 < shortest:
            log_probs[END] = -np.inf
        return log_probs

    for row in range(2):
        expected = reference.beam(
            tables.logits_of(row), longest, END, width, ranked_by(penalty), choose
        )
        found = hypotheses(result, row)
        assert len(found) == min(n_best, len(expected))
        for (ids, log_prob, score), wanted in zip(found, expected, strict=False):
            # Scores may tie within float32's last digits; then either order is right.
            assert score == pytest.approx(wanted.score, rel=1e-5, abs=1e-4)
            assert log_prob == pytest.approx(
                reference.log_prob(tables.logits_of(row), ids), abs=1e-5
            )
