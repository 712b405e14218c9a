"""Bridges lead from any encoder's state to any decoder's state."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s import Encoded, MeanBridge, ZeroBridge
from keras_s2s.layers.bridge import CopyBridge, DenseBridge, bridge_between
from oracles import reference
from oracles.decoder_reference import dense_bridge, masked_mean
from support.designs import randomized, same

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


MASK = np.array([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]], bool)


def encoded_source(width=4):
    rng = np.random.default_rng(1)
    return Encoded(rng.normal(size=(3, 4, width)).astype("float32"), MASK)


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_mean_is_over_the_real_positions_alone(activation):
    """Right padding, gaps, and no real token at all: the projection of zeros, the bias."""
    encoded, bridge = encoded_source(), MeanBridge(((5, 3), (2,)), activation=activation)
    state = state_of(GRU_CELL, rows=3)
    bridge(state, encoded)
    randomized(bridge)
    expected = dense_bridge(bridge, masked_mean(*encoded))
    same(bridge(state, encoded), tuple(expected), 1e-6)


def test_mean_ignores_what_padding_holds():
    encoded, bridge = encoded_source(), MeanBridge(((5,),))
    state = state_of(GRU_CELL, rows=3)
    expected = bridge(state, encoded)
    for value in (1e30, np.nan):
        values = np.where(MASK[:, :, None], encoded.values, value).astype("float32")
        same(bridge(state, Encoded(values, MASK)), expected, 0)


def test_mean_of_many_in_half_precision_is_taken_in_float32():
    values = np.full((1, 5000, 1), 1.0, "float32")
    encoded = Encoded(values, np.ones((1, 5000), bool))
    bridge = MeanBridge(((1,),), activation="linear", dtype="mixed_bfloat16")
    bridge.build([[(None, 1)]], [(None, None, 1), (None, None)])
    bridge.set_weights([np.ones((1, 1)), np.zeros(1)])
    assert float(bridge(state_of(((1,),), rows=1), encoded)[0][0][0, 0]) == 1


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (np.ones((2, 4), bool), ValueError, r"`mask` must .* values \(2, 5, 3\); got \(2, 4\)"),
        (np.ones((2, 5)), TypeError, "`mask` must be bool.*got float"),
    ],
)
def test_mean_refuses_a_mask_of_another_shape_or_type(mask, error, message):
    state = ((np.ones((2, 4), "float32"),),)
    with pytest.raises(error, match=message):
        MeanBridge([[2]])(state, Encoded(np.ones((2, 5, 3), "float32"), mask))


def test_mean_without_an_encoded_source_is_an_error():
    with pytest.raises(ValueError, match=r"MeanBridge .*encoded source"):
        MeanBridge(((5,),))(state_of(GRU_CELL))


@pytest.mark.parametrize("activation", ["tanh", "linear"])
def test_dense_is_the_numpy_formula(activation):
    state, bridge = state_of(LSTM_STACK), DenseBridge(((5, 3), (2,)), activation=activation)
    bridge(state)
    randomized(bridge)
    joined = np.concatenate([part for layer in state for part in layer], axis=-1)
    same(bridge(state), tuple(dense_bridge(bridge, joined)), 1e-5)


def test_zero_is_zeros_of_the_declared_widths():
    made = ZeroBridge(((5, 3), (2,)))(state_of(LSTM_STACK, rows=7))
    assert widths(made) == ((5, 3), (2,))
    parts = [ops.convert_to_numpy(part) for part in keras.tree.flatten(made)]
    assert all(part.shape[0] == 7 and not part.any() for part in parts)
    assert ZeroBridge(((5,),)).weights == []


@pytest.mark.parametrize("kind", [ZeroBridge, DenseBridge, MeanBridge])
@pytest.mark.parametrize("sizes", [(), 5, (4,), ((),), ((4, 0),), (("4",),), ((True,),), None])
def test_state_sizes_of_another_form_are_an_error(kind, sizes):
    with pytest.raises(ValueError, match=r"`state_sizes` must hold, for each layer.*; got state_"):
        kind(sizes)


@pytest.mark.parametrize("kind", [DenseBridge, MeanBridge])
@pytest.mark.parametrize("activation", ["tahn", 3, None])
def test_an_unknown_activation_is_an_error(kind, activation):
    with pytest.raises(ValueError, match="`activation` must be the name of a Keras activation"):
        kind(((3,),), activation=activation)
