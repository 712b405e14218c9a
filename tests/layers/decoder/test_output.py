"""Both kinds of output layer are one product, and give their matrix whole or in columns."""

import doctest

import keras
import numpy as np
import pytest

from keras_s2s.layers.decoder import output
from keras_s2s.layers.decoder.output import DenseOutput, TiedOutput, columns
from support.backends import gradients, tensorflow_only

ops = keras.ops
RNG = np.random.default_rng(3)
HIDDEN = RNG.normal(size=(3, 4, 5)).astype("float32")
KERNEL = RNG.normal(size=(5, 7)).astype("float32")
BIAS = RNG.normal(size=7).astype("float32")
IDS = np.array([2, 6, 2])


def dense(with_bias):
    layer = keras.layers.Dense(7, use_bias=with_bias)
    layer.build((None, 5))
    layer.set_weights([KERNEL, BIAS] if with_bias else [KERNEL])
    return DenseOutput(layer)


def tied(with_bias):
    table = keras.layers.Embedding(7, 5)
    table.build((None,))
    table.set_weights([KERNEL.T])
    return TiedOutput(table, ops.convert_to_tensor(BIAS) if with_bias else None, "float32")


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("make", [dense, tied])
def test_logits_weights_and_columns_are_of_one_matrix(make, with_bias):
    projection = make(with_bias)
    kernel, bias = projection.weights()
    np.testing.assert_array_equal(kernel, KERNEL)
    some, biases = projection.columns(IDS)
    np.testing.assert_array_equal(some, KERNEL[:, IDS])
    assert (bias is None, biases is None) == (not with_bias, not with_bias)
    expected = HIDDEN @ KERNEL
    if with_bias:
        np.testing.assert_array_equal(bias, BIAS)
        np.testing.assert_array_equal(biases, BIAS[IDS])
        expected = expected + BIAS
    np.testing.assert_allclose(projection(HIDDEN), expected, rtol=1e-5, atol=1e-5)


def test_a_tied_product_is_in_the_dtype_of_the_decoder():
    """Whatever the policy of the layer that the embedding belongs to."""
    wide = tied(True)
    half = TiedOutput(wide.embedding, wide.bias, "bfloat16")
    for tensor in (half(HIDDEN), *half.weights(), *half.columns(IDS)):
        assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"


@tensorflow_only
def test_columns_that_are_named_twice_have_the_sum_of_their_gradients():
    ids, upstream = np.array([2, 6, 2]), RNG.normal(size=(5, 3)).astype("float32")
    value, (gradient,), _ = gradients(lambda k: ops.sum(columns(k, ids) * upstream), [KERNEL])
    assert value == pytest.approx((KERNEL[:, ids] * upstream).sum(), rel=1e-5)
    expected = np.zeros_like(KERNEL)
    np.add.at(expected.T, ids, upstream.T)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


@tensorflow_only
def test_example_in_the_documentation():
    assert doctest.testmod(output).attempted > 0
    assert doctest.testmod(output).failed == 0
