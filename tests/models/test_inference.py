"""Tests of inference models: batches change nothing, controls are inputs, and errors come early."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.models.inference import InferenceModel
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    SamplingSearch,
    SearchResult,
    TFABeamSearch,
)

SIZE, END = 9, 3
quick = settings(deadline=None, max_examples=15, derandomize=True)


@functools.cache
def model():
    """Random weights, large enough that outputs differ."""
    keras.utils.set_random_seed(5)
    made = Seq2Seq(
        Encoder(vocabulary_size=SIZE, embedding_size=6, units=5, cell="gru"),
        Decoder(vocabulary_size=SIZE, embedding_size=6, units=8, cell="gru", attention="concat"),
    )
    made.build()
    made.set_weights([2.5 * weight for weight in made.get_weights()])
    return made


SEARCHES = {
    "greedy": GreedySearch(7, no_repeat_ngram=2),
    "beam": BeamSearch(
        4, 0.8, 2, 7, coverage_penalty=0.2, min_length=(0.5, 1), repetition_penalty=1.1
    ),
    "diverse": DiverseBeamSearch(4, 0.5, max_length=7, groups=2),
}
SENTENCES = [[*np.random.default_rng(n).integers(4, SIZE, n % 6).tolist(), END] for n in range(12)]


@functools.cache
def inference(name):
    return model().inference_model(SEARCHES[name])


def padded(rows, more=0):
    longest = max(map(len, rows)) + more
    return np.array([row + [0] * (longest - len(row)) for row in rows], "int32")


@functools.cache
def alone(name, sentence):
    return inference(name).predict_on_batch(padded([SENTENCES[sentence]]))


@pytest.mark.thorough
@pytest.mark.parametrize("name", SEARCHES)
@quick
@given(
    chosen=st.lists(st.integers(0, len(SENTENCES) - 1), min_size=1, max_size=8),
    more=st.integers(0, 4),
)
def test_shuffling_splitting_and_padding_change_nothing(name, chosen, more):
    """Any sentences in any order, some twice, padded further: each gets what it gets alone."""
    result = inference(name).predict_on_batch(padded([SENTENCES[n] for n in chosen], more))
    for place, sentence in enumerate(chosen):
        single, length = alone(name, sentence), len(SENTENCES[sentence])
        np.testing.assert_array_equal(result.ids[place], single.ids[0])
        np.testing.assert_array_equal(result.lengths[place], single.lengths[0])
        for part in ("scores", "log_probs", "token_log_probs"):
            # Other batch sizes take other paths through a matrix product.
            np.testing.assert_allclose(
                getattr(result, part)[place], getattr(single, part)[0], rtol=0, atol=1e-4
            )
        weights = result.weights[place]
        np.testing.assert_allclose(weights[:, :, :length], single.weights[0], rtol=0, atol=1e-5)
        assert not weights[:, :, length:].any()


def runs(search):
    """Eager, and compiled in both ways."""
    made = model().inference_model(search)
    return [made, lambda x: made.predict(x, verbose=0), made.predict_on_batch]


BEAM = BeamSearch(3, max_length=5)
SOURCE = padded(SENTENCES[:3])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"source_ids": np.array([[4, SIZE, 3]])},
            "Source ids must be from 0 to below 9, .* 3 to 9",
        ),
        ({"source_ids": np.array([[4, -1, 3]])}, "Source ids must be from 0 .* got -1 to 4"),
        ({"prefix": np.full((3, 5), 4)}, "Sentence 0: prefix .* need 6 tokens, .* max_length=5"),
        ({"prefix": np.full((3, 1), SIZE)}, "must hold ids below the 9 logits; got 9"),
        ({"prefix": np.full((3, 1), END)}, "must not hold the end id, 3"),
        (
            {"required": np.full((3, 1, 1), 4), "forbidden": np.full((3, 1, 1), 4)},
            "Sentence 0: `required` asks for .* forbids",
        ),
        ({"required": np.full((3, 1, 5), 4)}, "need 6 tokens"),
        ({"phrases": np.zeros((3, 1))}, "takes source ids, or a dict of"),
    ],
)
def test_what_cannot_be_is_refused_eagerly_and_compiled(inputs, message):
    for run in runs(BEAM):
        with pytest.raises(ValueError, match=message):
            run({"source_ids": SOURCE, **inputs})


@pytest.mark.parametrize(
    ("search", "ids", "message"),
    [
        (BeamSearch(SIZE + 1), {}, "`width` must be at most the number of logits, 9"),
        (BEAM, {"end_id": SIZE}, "`end_id` must be an id below the 9 logits; got end_id=9"),
    ],
)
def test_what_the_vocabulary_does_not_have_is_refused_before_any_search(search, ids, message):
    with pytest.raises(ValueError, match=message):
        model().inference_model(search, **ids)


@pytest.mark.parametrize(
    "search",
    [GreedySearch(5), BEAM, SamplingSearch(2, max_length=5), TFABeamSearch(2, max_length=5)],
    ids=lambda search: type(search).__name__,
)
def test_an_empty_batch_has_an_empty_result(search):
    for run in runs(search):
        result = run(SOURCE[:0])
        pair = (0, search.n_best)
        assert [tuple(part.shape) for part in result] == [
            *((*pair, 5), pair, pair, pair, (*pair, 5, SOURCE.shape[1]), (*pair, 5), pair)
        ]
        assert isinstance(result, SearchResult)


def test_logits_that_are_not_finite_name_step_and_sentence():
    broken = model().inference_model(BEAM)

    class Broken(InferenceModel):
        """Its second sentence breaks at the third step."""

        def call(self, source_ids):
            step, seq2seq = self.seq2seq.step, self.seq2seq
            memory, state = seq2seq.encode(source_ids)
            count = keras.ops.zeros_like(source_ids[:, 0])

            def breaking(tokens, state):
                inner, taken = state
                logits, inner, weights = step(tokens, inner, memory)
                rows = keras.ops.arange(keras.ops.shape(tokens)[0])
                bad = keras.ops.logical_and(taken == 2, rows // 3 == 1)[:, None]
                no_end = keras.ops.where(keras.ops.arange(SIZE) == END, -50.0, 0.0)
                logits = keras.ops.where(bad, float("nan"), logits + no_end)
                return logits, (inner, taken + 1), weights

            return self.search(
                breaking,
                (state, count),
                batch_size=keras.ops.shape(source_ids)[0],
                source_mask=source_ids != 0,
            )

    broken = Broken(model(), BEAM)
    for run in (broken, lambda x: broken.predict(x, verbose=0), broken.predict_on_batch):
        with pytest.raises(ValueError, match=r"not finite at step 2 of sentence 1 .* of 3 are"):
            run(SOURCE)


def test_controls_are_inputs_of_their_sentences():
    made = model().inference_model(BEAM)
    prefix = np.array([[4, 5], [6, -1], [-1, -1]])
    free, found = (
        made.predict(SOURCE, verbose=0),
        made.predict({"source_ids": SOURCE, "prefix": prefix}, verbose=0),
    )
    assert found.ids[0, 0, :2].tolist() == [4, 5]
    assert found.ids[1, 0, 0] == 6
    np.testing.assert_array_equal(found.ids[2], free.ids[2])
