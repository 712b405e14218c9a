"""Compilations of the training step are counted, and a warning says when there are too many."""

import warnings

import keras
import numpy as np
import pytest

import keras_s2s as s2s
from support.backends import BACKEND, tensorflow_only

pytestmark = pytest.mark.backend_neutral

LENGTHS = [(2, 3), (4, 4), (3, 6), (5, 2), (4, 4)]  # four shapes


class Batches(keras.utils.PyDataset):
    """Batches of two rows with these lengths of source and target."""

    def __init__(self, lengths=LENGTHS):
        super().__init__()
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        source, target = self.lengths[index]
        x = {"source_ids": np.full((2, source), 5), "target_ids": np.full((2, target), 5)}
        return x, np.full((2, target), 6)


def made(**compiled):
    model = s2s.Seq2Seq(
        s2s.Encoder(vocabulary_size=9, embedding_size=4, units=4),
        s2s.Decoder(vocabulary_size=9, embedding_size=4, units=8),
    )
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    return model


def fit(model, *callbacks, data=None, epochs=1):
    data = Batches() if data is None else data
    model.fit(data, epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks))


def test_one_trace_on_tensorflow_serves_all_shapes_and_jax_compiles_each():
    callback = s2s.RetraceWarning(limit=1, say=[].append)
    fit(made(), callback, epochs=2)
    assert callback.compilations == {"tensorflow": 1, "jax": 4, "torch": 0}[BACKEND]


@pytest.mark.thorough
@pytest.mark.skipif(BACKEND == "torch", reason="nothing is counted on Torch")
def test_more_shapes_than_the_limit_warn_once_with_numbers_where_xla_compiles():
    model = made(jit_compile=True)
    with pytest.warns(UserWarning, match="compiled 3 times in 4 steps .* more than 2 ") as caught:
        fit(
            model, s2s.RetraceWarning(limit=2), data=Batches([*LENGTHS[:2], *LENGTHS[1:]]), epochs=2
        )
    (message,) = [str(each.message) for each in caught if "step was" in str(each.message)]
    assert "--length-multiple" in message


@pytest.mark.thorough
@pytest.mark.skipif(BACKEND == "torch", reason="nothing is counted on Torch")
def test_as_many_shapes_as_the_limit_do_not_warn():
    said = []
    callback = s2s.RetraceWarning(limit=4, say=said.append)
    fit(made(jit_compile=True), callback, epochs=2)
    assert (callback.compilations, said) == (4, [])


@pytest.mark.thorough
@tensorflow_only
def test_traces_without_xla_are_counted_too():
    """A callback that has Keras make its training function anew, as after unfreezing layers."""

    class Anew(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.make_train_function(force=True)

    said = []
    callback = s2s.RetraceWarning(limit=3, say=said.append)
    fit(made(), callback, Anew(), data=Batches([(3, 3)] * 5))
    assert callback.compilations == 5
    (message,) = said
    assert message.startswith("The training step was traced 4 times in 4 steps of this epoch; more")


@tensorflow_only
def test_each_fit_is_counted_alone_and_a_traced_step_is_not_traced_again():
    model, callback = made(), s2s.RetraceWarning(limit=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for expected in (1, 0):
            fit(model, callback)
            assert callback.compilations == expected


def test_an_eager_run_compiles_nothing():
    callback = s2s.RetraceWarning(limit=1)
    fit(made(run_eagerly=True), callback)
    assert callback.compilations == 0


def test_another_model_is_an_error():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match=r"of a Seq2Seq; got Sequential. Leave"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[s2s.RetraceWarning()])


@pytest.mark.parametrize("limit", [0, -1, 2.0, True, None])
def test_a_limit_that_is_no_whole_number_is_an_error(limit):
    with pytest.raises(ValueError, match=f"`limit` must be a positive integer; got limit={limit}"):
        s2s.RetraceWarning(limit)
