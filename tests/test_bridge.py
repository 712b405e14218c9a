"""Bridges: from any encoder's state to any decoder's."""

import json

import keras
import numpy as np
import pytest
import reference

from keras_s2s.bridge import CopyBridge, DenseBridge, bridge_between

pytestmark = pytest.mark.backend_neutral


def state_of(sizes, rows=2):
    rng = np.random.default_rng(0)
    return tuple(
        tuple(rng.normal(size=(rows, size)).astype("float32") for size in layer) for layer in sizes
    )


def widths(state):
    return tuple(tuple(part.shape[-1] for part in layer) for layer in state)


LSTM_STACK = ((6, 6), (6, 6))
GRU_CELL = ((5,),)


def test_copy_gives_the_state_back():
    state = state_of(LSTM_STACK)
    copied = CopyBridge()(state)
    for ours, theirs in zip(keras.tree.flatten(copied), keras.tree.flatten(state), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert widths(copied) == LSTM_STACK
    assert CopyBridge().weights == []


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (LSTM_STACK, GRU_CELL),
        (GRU_CELL, LSTM_STACK),
        (((4,), (4,)), ((4,),)),
        (((3,),), ((4,),) * 3),
    ],
    ids=["lstm-to-gru", "gru-to-lstm", "shallower", "deeper-and-wider"],
)
def test_dense_makes_the_declared_widths_from_any_state(encoder, decoder):
    bridge = DenseBridge(decoder)
    assert widths(bridge(state_of(encoder))) == decoder
    # One kernel and one bias for every tensor of the decoder's state.
    assert len(bridge.weights) == 2 * sum(map(len, decoder))


def test_dense_is_tanh_of_a_product_over_all_states():
    state = state_of(LSTM_STACK)
    bridge = DenseBridge(((5, 3),))
    (h, c), *rest = bridge(state)
    assert not rest
    joined = np.concatenate([part for layer in state for part in layer], axis=-1)
    for ours, projection in zip((h, c), bridge.projections[0], strict=True):
        kernel, bias = reference.arrays(projection)
        np.testing.assert_allclose(ours, np.tanh(joined @ kernel + bias), rtol=0, atol=1e-6)


def test_activation_is_an_option():
    state = state_of(GRU_CELL)
    linear = DenseBridge(((4,),), activation="linear")
    kernel, bias = (linear(state), reference.arrays(linear))[1]
    np.testing.assert_allclose(linear(state)[0][0], state[0][0] @ kernel + bias, rtol=0, atol=1e-6)


def test_bridge_between_copies_equal_sizes_and_projects_others():
    assert type(bridge_between(LSTM_STACK, LSTM_STACK)) is CopyBridge
    between = bridge_between(LSTM_STACK, GRU_CELL, dtype="mixed_bfloat16")
    assert type(between) is DenseBridge
    assert between.state_sizes == GRU_CELL
    assert between.dtype_policy.name == "mixed_bfloat16"


def test_symbolic_call_keeps_the_structure():
    state = tuple(tuple(keras.Input((size,)) for size in layer) for layer in LSTM_STACK)
    assert widths(DenseBridge(GRU_CELL)(state)) == GRU_CELL
    assert widths(CopyBridge()(state)) == LSTM_STACK


@pytest.mark.parametrize("bridge", [CopyBridge(), DenseBridge(LSTM_STACK, activation="relu")])
def test_round_trips_through_json(bridge):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(bridge)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(bridge)
    assert again.get_config() == bridge.get_config()
    assert widths(again(state_of(LSTM_STACK))) == LSTM_STACK
