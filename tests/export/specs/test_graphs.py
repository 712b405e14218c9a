"""The inference graphs as TensorFlow functions equal the translator, also at their boundaries."""

import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.export.specs.signatures import spec_of_ids
from keras_s2s.export.tracing import ids_function, search_ids
from keras_s2s.search import BeamSearch, GreedySearch, Search
from support.translators import texts, tiny_translator

SEARCHES = [GreedySearch(7), BeamSearch(3, n_best=2, max_length=7)]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("search", SEARCHES)
def test_ids_function_gives_what_the_inference_model_gives(search: Search) -> None:
    translator = tiny_translator()
    spec = spec_of_ids(translator, "search", search)
    source_ids = translator.source_ids(texts(9))
    inputs = {
        "input_ids": source_ids.astype(np.int64),
        "input_lengths": (source_ids != 0).sum(axis=1),
    }
    expected = translator.inference_model(search).predict(source_ids, verbose=0)

    found = ids_function(translator, search, spec)(**inputs)

    assert spec.objections(inputs, {name: value.numpy() for name, value in found.items()}) == []
    np.testing.assert_array_equal(found["output_ids"], expected.ids)
    np.testing.assert_array_equal(found["output_lengths"], expected.lengths)
    np.testing.assert_allclose(found["scores"], expected.scores, rtol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_only_lengths_tell_what_is_padding(reverse: bool) -> None:
    translator = tiny_translator()
    translator.model.encoder.reverse_source = reverse
    search = GreedySearch(7)
    run = ids_function(translator, search, spec_of_ids(translator, "greedy", search))
    ids = np.array([[5, 6, 3, 0, 0], [9, 3, 0, 0, 0]])
    other = np.where(ids == 0, [[7, 1, 2, 3, 8]], ids)  # a server pads with what it likes
    lengths = np.array([3, 2])

    np.testing.assert_array_equal(run(ids, lengths)["scores"], run(other, lengths)["scores"])
    # Were they read, they would be seen.
    assert not np.array_equal(run(ids, lengths)["scores"], run(other, [5, 5])["scores"])


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (2, 0), (2, 1)])
@pytest.mark.parametrize("search", SEARCHES)
def test_empty_batches_and_sources_have_an_answer(shape: tuple[int, int], search: Search) -> None:
    translator = tiny_translator()

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def run(source_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        result = search_ids(translator, search, source_ids)
        assert result.weights is None
        return result.ids, result.scores

    ids, scores = run(tf.zeros(shape, tf.int32))

    assert ids.shape == (shape[0], getattr(search, "n_best", 1), 7)
    assert np.isfinite(scores).all()
