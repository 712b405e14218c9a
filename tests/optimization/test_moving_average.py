"""The moving average exactly replaces the weights, and exactly gives them back."""

import keras
import numpy as np
import pytest

from keras_s2s.optimization.moving_average import EvaluateMovingAverage, averaged_weights

MOMENTUM = 0.75
X = np.random.default_rng(1).normal(size=(24, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def model_with(momentum=MOMENTUM):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(
        keras.optimizers.Adam(0.1, use_ema=momentum is not None, ema_momentum=momentum or 0.5),
        "mse",
    )
    return model


class AfterEachStep(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.get_weights())


class AfterEachEpoch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.raw, self.averaged = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.raw.append(self.model.get_weights())
        with averaged_weights(self.model) as averaged:
            assert averaged
            self.averaged.append(self.model.get_weights())


def fit(model, *callbacks, **given):
    return model.fit(
        X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=list(callbacks), **given
    )


@pytest.mark.thorough
def test_it_is_the_average_of_the_weights_after_every_step():
    steps, epochs = AfterEachStep(), AfterEachEpoch()
    fit(model_with(), steps, epochs)
    average = steps.seen[0]
    for weights in steps.seen[1:]:
        average = [MOMENTUM * a + (1 - MOMENTUM) * w for a, w in zip(average, weights, strict=True)]
    for ours, expected in zip(epochs.averaged[-1], average, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)  # float32 sums


def test_the_weights_come_back_bit_for_bit_and_training_is_not_changed():
    watched, plain = model_with(), model_with()
    plain.set_weights(watched.get_weights())
    epochs = AfterEachEpoch()
    fit(watched, EvaluateMovingAverage(), epochs, validation_data=(X, Y))
    steps = AfterEachStep()
    fit(plain, steps)
    for raw, expected in zip(epochs.raw, (steps.seen[2], steps.seen[5]), strict=True):
        for ours, theirs in zip(raw, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.thorough
def test_validation_is_of_the_average():
    model, epochs = model_with(), AfterEachEpoch()
    history = fit(model, EvaluateMovingAverage(), epochs, validation_data=(X, Y)).history
    for found, raw, averaged in zip(history["val_loss"], epochs.raw, epochs.averaged, strict=True):
        model.set_weights(averaged)
        assert found == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)
        model.set_weights(raw)
        assert found != pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-3)


def test_an_error_inside_gives_the_weights_back():
    model = model_with()
    model.fit(X, Y, verbose=0)
    model.set_weights([weight + 1 for weight in model.get_weights()])
    before = model.get_weights()

    def interrupted():
        with averaged_weights(model):
            assert np.any(model.get_weights()[0] != before[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("momentum", [None, MOMENTUM])
def test_without_an_average_the_model_stays_as_it_is(momentum):
    """Of an optimizer that keeps none, and of one that has made no step."""
    model = model_with(momentum)
    before = model.get_weights()
    with averaged_weights(model) as averaged:
        assert not averaged
        for ours, theirs in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.thorough
def test_the_average_is_saved_and_goes_on(tmp_path):
    whole, epochs = model_with(), AfterEachEpoch()
    begun = model_with()
    begun.set_weights(whole.get_weights())
    fit(whole, epochs)

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.save(tmp_path / "half.keras")
                self.model.stop_training = True

    fit(begun, Save())
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    again = AfterEachEpoch()
    resumed.fit(
        X, Y, batch_size=8, initial_epoch=1, epochs=2, shuffle=False, verbose=0, callbacks=[again]
    )
    for ours, theirs in zip(again.averaged[-1], epochs.averaged[-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
