"""FusedAdam gives the numbers of Keras' Adam, whatever its settings."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s.optimization import adam
from keras_s2s.optimization.adam import FusedAdam

RNG = np.random.default_rng(5)
STARTS = [RNG.normal(size=shape).astype("float32") for shape in ((5, 3), (4,))]
SETTINGS = {
    "plain": {},
    "clipped": {"global_clipnorm": 0.5},
    "schedule": {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)},
    "decay, average": {"weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.5},
    "amsgrad": {"amsgrad": True, "beta_1": 0.5, "epsilon": 1e-3},
}


def trained(kind, settings, jit_compile=None):
    optimizer = kind(**{"learning_rate": 0.1, **settings})
    variables = [keras.Variable(start) for start in STARTS]
    optimizer.build(variables)

    def step(dense, sparse):
        rows = tf.IndexedSlices(sparse, tf.constant([1, 3, 0]), tf.constant([5, 3]))
        optimizer.apply([rows, dense], variables)

    run = tf.function(step, jit_compile=jit_compile)
    rng = np.random.default_rng(6)
    for _ in range(6):
        run(rng.normal(size=4).astype("float32"), rng.normal(size=(3, 3)).astype("float32"))
    return optimizer, [variable.numpy() for variable in variables]


@pytest.mark.filterwarnings("ignore:Converting sparse IndexedSlices:UserWarning")
@pytest.mark.parametrize("name", SETTINGS)
def test_weights_and_state_are_those_of_keras_adam(name):
    ours, found = trained(FusedAdam, SETTINGS[name])
    theirs, expected = trained(keras.optimizers.Adam, SETTINGS[name])
    assert not np.allclose(found[0], STARTS[0])
    for a, b in zip(found, expected, strict=True):
        # 1 - 0.999 is taken in float32, good to 5e-5; half of that is left under the root, on six
        # steps of 0.1.
        np.testing.assert_allclose(a, b, rtol=0, atol=1.5e-5)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1.5e-5)


def test_a_row_that_occurs_twice_is_added_up():
    """Keras 3.15 squares the two rows apart, so its answer to a sparse gradient is another."""
    rows = tf.IndexedSlices([[1.0, 2.0], [3.0, -1.0]], tf.constant([1, 1]), tf.constant([3, 2]))
    found = []
    for kind, gradient in (
        (FusedAdam, rows),
        (keras.optimizers.Adam, tf.constant([[0.0, 0.0], [4.0, 1.0], [0.0, 0.0]])),
    ):
        optimizer, variable = kind(0.1, epsilon=1.0), keras.Variable(np.ones((3, 2), "float32"))
        optimizer.apply([gradient], [variable])
        found.append(variable.numpy())
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_xla_gives_the_same():
    _, found = trained(FusedAdam, {}, jit_compile=True)
    for a, b in zip(found, trained(FusedAdam, {})[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def test_one_operation_updates_a_weight():
    optimizer, variable = FusedAdam(), keras.Variable(STARTS[0])
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    graph = step.get_concrete_function(tf.TensorSpec((5, 3))).graph
    updates = [op.type for op in graph.get_operations() if op.type.startswith("ResourceApply")]
    assert updates == ["ResourceApplyAdam"]


def test_round_trips_through_its_configuration():
    optimizer = FusedAdam(0.1, beta_1=0.5, global_clipnorm=2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(again) is FusedAdam
    assert again.get_config() == optimizer.get_config()


def test_example_in_the_documentation():
    assert doctest.testmod(adam).attempted > 0
    assert doctest.testmod(adam).failed == 0
