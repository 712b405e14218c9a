"""Samples follow the exact distribution and the seed, with forced and forbidden tokens."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_s2s.search import SamplingSearch
from support.tables import END, Tables, chain, hypotheses, ids_of, words

pytestmark = pytest.mark.backend_neutral

# One step that decides, then the end. Ids 0 to 3 are special; the end may be drawn at once.
LOGITS = np.float32([-np.inf, -np.inf, -np.inf, 0.3, 1.2, 0.1, 0.9, -1.0, -3.0, 0.9])
DRAWS = 4000
# The 0.999 quantiles of chi-square for 1 to 6 degrees of freedom.
QUANTILES = [10.83, 13.82, 16.27, 18.47, 20.52, 22.46]


def step(tokens, state):
    table = np.full((10, 10), -np.inf, "float32")
    table[2] = LOGITS
    table[:2, END] = table[3:, END] = 0.0
    return ops.take(ops.convert_to_tensor(table), tokens, axis=0), state


def distribution(temperature=1.0, top_k=None, top_p=None, epsilon=None):
    """What the first token is drawn from, in float64; equals by their place."""
    p = np.exp(LOGITS.astype("float64") / temperature)
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    kept = np.ones(len(p), bool)
    if top_k is not None:
        kept[order[top_k:]] = False
    if top_p is not None:
        before = np.cumsum(p[order]) - p[order]
        kept[order[before >= top_p]] = False
    if epsilon is not None:
        kept &= p >= epsilon
    kept[order[0]] = True
    p = np.where(kept, p, 0.0)
    return p / p.sum()


def chi_square(tokens, p):
    counts = np.bincount(tokens, minlength=len(p))
    assert not counts[p == 0].any(), "what was cut was drawn"
    possible = p > 0
    wanted = p[possible] * len(tokens)
    return ((counts[possible] - wanted) ** 2 / wanted).sum(), possible.sum() - 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.5},
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 50},
        {"top_p": 0.6},
        {"top_p": 1.0},
        {"top_p": 1e-6},
        {"epsilon": 0.1},
        {"epsilon": 0.9},
        {"temperature": 1.5, "top_k": 5, "top_p": 0.8, "epsilon": 0.05},
    ],
    ids=str,
)
def test_frequencies_are_those_of_the_distribution(options):
    search = SamplingSearch(samples=DRAWS, seed=7, max_length=2, **options)
    result = search(step, (), batch_size=1)
    tokens = np.array(result.ids)[0, :, 0]
    statistic, freedom = chi_square(tokens, distribution(**options))
    assert freedom == 0 or statistic < QUANTILES[freedom - 1]


def test_wrong_distributions_are_told_apart():
    """The test above can fail: at another temperature the statistic is far beyond."""
    search = SamplingSearch(samples=DRAWS, seed=7, max_length=2, temperature=1.3)
    tokens = np.array(search(step, (), batch_size=1).ids)[0, :, 0]
    statistic, freedom = chi_square(tokens, distribution())
    assert statistic > 3 * QUANTILES[freedom - 1]


def test_later_tokens_are_drawn_given_the_earlier_ones():
    tables = Tables(rows=1, max_length=3, vocabulary=4, seed=41, scale=1.0)
    result = tables.search(SamplingSearch(samples=DRAWS, seed=3, max_length=3))
    found = [ids for ids, _, _ in hypotheses(result, 0)]
    every = {}
    for ids, log_prob, _ in hypotheses(result, 0):
        # At the last step the end is forced, so nothing is drawn there.
        every[ids] = log_prob - result.token_log_probs[0, found.index(ids), 2] * (len(ids) == 3)
    p = np.exp(np.array(list(every.values()), "float64"))
    assert p.sum() == pytest.approx(1, abs=0.02), "nearly all of the 13 sequences were drawn"
    counts = np.array([found.count(ids) for ids in every])
    often = p * DRAWS > 10
    statistic = ((counts[often] - p[often] * DRAWS) ** 2 / (p[often] * DRAWS)).sum()
    assert statistic < 34.5  # the 0.999 quantile for 13, at least as many as there are


@settings(deadline=None, max_examples=20, derandomize=True)
@given(draw=st.sampled_from([0.0, 0.25, 0.5, 1 - 2**-24]), top_k=st.sampled_from([None, 3]))
def test_noise_decides_and_its_ends_stay_within(draw, top_k):
    search = SamplingSearch(max_length=2, top_k=top_k)
    noise = np.full((1, 1, 2), draw, "float32")
    token = int(np.array(search(step, (), batch_size=1, noise=noise).ids)[0, 0, 0])
    p = distribution(top_k=top_k)
    assert p[token] > 0
    if top_k is None:  # by id, in the order of the vocabulary
        below = p[:token].sum()
        assert below - 1e-5 <= draw <= below + p[token] + 1e-5


def test_a_seed_reproduces_and_none_does_not():
    def drawn(seed):
        found = SamplingSearch(samples=20, seed=seed, max_length=2)(step, (), batch_size=2)
        return np.array(found.ids)[:, :, 0].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert drawn(None) != drawn(None)
    assert drawn(1)[0] != drawn(1)[1], "sentences draw apart"


def test_scores_are_the_models_own_log_probabilities():
    tables = Tables(rows=5, max_length=4, seed=42)
    result = tables.search(SamplingSearch(samples=3, seed=0, temperature=2.0, max_length=4))
    from oracles import reference

    for row in range(5):
        for n, (ids, log_prob, score) in enumerate(hypotheses(result, row)):
            again = reference.log_prob(tables.logits_of(row), ids)
            assert log_prob == pytest.approx(again, abs=1e-5)
            assert score == pytest.approx(again, abs=1e-5)
            weights = result.weights[row, n, : len(ids)]
            np.testing.assert_allclose(weights, tables.weights_of(row, ids), atol=1e-6)


def test_prefixes_limits_and_controls_hold():
    letters = chain(start="ab", a="ab>", b="ab>")
    search = SamplingSearch(
        samples=40, seed=1, max_length=7, min_length=4, no_repeat_ngram=3, temperature=3.0
    )
    arguments = {"prefix": np.array([ids_of("ba")]), "forbidden": np.array([[ids_of("bb")]])}
    for word in words(search(letters, (), batch_size=1, **arguments)):
        assert word.startswith("ba")
        assert "bb" not in word
        assert 4 <= len(word) <= 7
        spans = [word[i : i + 3] for i in range(len(word) - 2)]
        assert len(set(spans)) == len(spans)


def test_what_may_not_be_said_is_no_sample():
    search = SamplingSearch(samples=3, seed=0, max_length=9, min_length=9, no_repeat_ngram=1)
    # Four tokens but the end may be said, each once; the fifth place has none left.
    result = search(step4, (), batch_size=1)
    assert np.array(result.lengths).tolist() == [[0, 0, 0]]
    assert np.isneginf(np.array(result.scores)).all()


def step4(tokens, state):
    return ops.zeros((ops.shape(tokens)[0], 5)), state


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "`samples` must be a positive integer; got samples=0"),
        ({"temperature": 0}, "`temperature` must be above 0; .* GreedySearch"),
        ({"temperature": -1}, "`temperature` must be a number from 0 on"),
        ({"top_k": 0}, "`top_k` must be a positive integer"),
        ({"top_p": 0}, "`top_p` must be above 0 and at most 1; got top_p=0"),
        ({"top_p": 1.1}, "`top_p` must be above 0 and at most 1; got top_p=1.1"),
        ({"epsilon": 1}, "`epsilon` must be at least 0 and below 1; got epsilon=1"),
        ({"seed": -1}, "`seed` must be at least 0; got -1"),
    ],
)
def test_bad_settings_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        SamplingSearch(**options)


def test_noise_must_have_the_shape_of_the_draws():
    with pytest.raises(ValueError, match=r"`noise` must have the shape .* \(B, 2, 4\)"):
        SamplingSearch(2, max_length=4)(step, (), batch_size=1, noise=np.zeros((1, 1, 4)))


def test_round_trips_through_json():
    search = SamplingSearch(3, 0.7, 5, 0.9, 0.01, 4, 12, min_length=2, repetition_penalty=1.1)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(search)))
    assert keras.saving.deserialize_keras_object(config).get_config() == search.get_config()
