"""Trains a model on one device and on two logical devices, and compares the results.

tests/models/test_distribution.py runs this program as a process of its own, because logical devices
can only be made before TensorFlow is used.
"""

import numpy as np
import tensorflow as tf

import keras_s2s as s2s

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

rng = np.random.default_rng(0)
source = rng.integers(4, 12, (32, 6)) * (np.arange(6) < rng.integers(2, 7, (32, 1)))
target = rng.integers(4, 12, (32, 7)) * (np.arange(7) < rng.integers(2, 8, (32, 1)))
x, y = {"source_ids": source, "target_ids": target[:, :-1]}, target[:, 1:]


def fitted(strategy, weights=None):
    with strategy.scope():
        encoder = s2s.Encoder(vocabulary_size=12, embedding_size=4, units=4)
        decoder = s2s.Decoder(vocabulary_size=12, embedding_size=8, units=8)
        model = s2s.Seq2Seq(encoder, decoder)
        model.build()
        weights = model.get_weights() if weights is None else weights
        model.set_weights(weights)
        # Keras clips the gradients of each replica separately, so this program does not clip.
        model.compile(s2s.FusedAdam(0.01))
    history = model.fit(x, y, batch_size=16, epochs=5, shuffle=False, verbose=0).history
    return weights, history, model.get_weights()


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
start, history, weights = fitted(tf.distribute.get_strategy())
_, mirrored_history, mirrored_weights = fitted(strategy, start)
for name, values in history.items():
    # The tolerance covers float32 sums over halves of a batch in ten steps.
    np.testing.assert_allclose(mirrored_history[name], values, rtol=1e-4, err_msg=name)
assert history["loss"][-1] < history["loss"][0] - 0.01
for before, one, two in zip(start, weights, mirrored_weights, strict=True):
    np.testing.assert_allclose(two, one, rtol=0, atol=2e-4)
    assert not np.array_equal(before, one)
