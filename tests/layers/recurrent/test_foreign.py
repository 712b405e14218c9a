"""Any Keras cell gives the outputs of `keras.layers.RNN`, in one loop or step by step."""

import keras
import numpy as np
import pytest

from keras_s2s.layers.recurrent import GRU, LSTM, RecurrentBlock
from keras_s2s.layers.recurrent.foreign import CellRecurrent, check_cell
from oracles import reference
from support.backends import BACKEND
from support.designs import WIDTH, NestedCell, as_float32, cells, decoder_with, encoder_with, same

pytestmark = pytest.mark.backend_neutral

L = keras.layers
X = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
MASKS = {
    "none": None,
    "right": np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool),
    "gaps": np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]], bool),
}
MAKERS = {
    name: make for name, make in cells().items() if name not in ("list", "LSTMCell with dropout")
} | {"LSTMCell": lambda: L.LSTMCell(WIDTH), "NestedCell": lambda: NestedCell(3)}
each_cell = pytest.mark.parametrize("name", MAKERS)


@pytest.mark.quick_cases(3)
@each_cell
@pytest.mark.parametrize("mask", MASKS)
def test_is_keras_rnn_over_the_same_cell(name, mask):
    if BACKEND == "jax" and name == "stack" and mask != "none":
        # Ours is right: see test_masked_steps_leave_the_state.
        pytest.skip("Keras 3.15 on JAX masks a stack of cells wrongly from a given state")
    cell = MAKERS[name]()
    ours = CellRecurrent(cell)
    ours.build(X.shape)
    mask = MASKS[mask]
    outputs, state = ours(X, mask=mask)
    theirs = L.RNN(cell, return_sequences=True, return_state=True)
    # Of a nested state, Keras makes no zeros itself.
    zeros = ours._packed([keras.ops.zeros((3, size)) for size in ours.state_sizes])
    expected, *expected_state = theirs(X, mask=mask, initial_state=zeros)
    same((outputs, state), (expected, tuple(keras.tree.flatten(expected_state))), 1e-6)
    assert outputs.shape == (3, 5, ours.units)
    assert tuple(part.shape[-1] for part in state) == ours.state_sizes


@each_cell
def test_looped_step_is_call_from_a_given_state(name):
    layer = CellRecurrent(MAKERS[name]())
    layer.build(X.shape)
    rng = np.random.default_rng(1)
    start = tuple(rng.normal(size=(3, size)).astype("float32") for size in layer.state_sizes)
    outputs, final = layer(X, initial_state=start)
    state, stepped = start, []
    for t in range(5):
        output, state = layer.step(X[:, t], state)
        stepped.append(output)
    same((keras.ops.stack(stepped, axis=1), state), (outputs, final), 1e-6)


@each_cell
def test_masked_steps_leave_the_state(name):
    layer = CellRecurrent(MAKERS[name]())
    layer.build(X.shape)
    _, state = layer(X, mask=MASKS["gaps"])
    for row, mask in enumerate(MASKS["gaps"]):
        _, alone = layer(X[row : row + 1, mask])
        same(alone, tuple(part[row : row + 1] for part in state), 1e-6)


@pytest.mark.parametrize(("cell", "ours"), [(L.LSTMCell, LSTM), (L.GRUCell, GRU)])
def test_weights_interchange_with_our_own_cells(cell, ours):
    theirs, ours = CellRecurrent(cell(WIDTH)), ours(WIDTH)
    for layer in (theirs, ours):
        layer.build(X.shape)
    assert [w.shape for w in theirs.weights] == [w.shape for w in ours.weights]
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=w.shape) for w in ours.weights]
    for layer in (theirs, ours):
        layer.set_weights(weights)
    same(theirs(X, mask=MASKS["right"])[1], ours(X, mask=MASKS["right"])[1], 1e-6)
    same(theirs.step(X[:, 0], theirs(X)[1]), ours.step(X[:, 0], ours(X)[1]), 1e-6)


def test_dropout_of_the_cell_is_on_in_training_and_off_in_a_step():
    cell = L.LSTMCell(WIDTH, dropout=0.5, recurrent_dropout=0.5)
    layer = CellRecurrent(cell)
    layer.build(X.shape)
    off = layer(X)
    one, two = layer(X, training=True), layer(X, training=True)
    assert np.abs(keras.ops.convert_to_numpy(one[0] - two[0])).max() > 1e-3
    same(layer(X, training=False), off, 0)
    zeros = tuple(np.zeros((3, WIDTH), "float32") for _ in range(2))

    class Inside(L.Layer):
        """Keras hands `training` down to what is called inside; a step stays without dropout."""

        def call(self, x, training=None):
            return layer.step(x[:, 0], zeros)[0]

    same(Inside()(X, training=True), off[0][:, 0], 1e-6)


@each_cell
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_outputs_and_state_are_in_the_dtype_of_the_layer(name, policy):
    """The cell may have been made under another policy."""
    cell = MAKERS[name]()
    exact, half = CellRecurrent(cell), CellRecurrent(cell, dtype=policy)
    exact.build(X.shape)
    half.build(X.shape)
    expected, expected_state = exact(X)
    zeros = tuple(keras.ops.zeros((3, size)) for size in half.state_sizes)
    outputs, state = half(X)
    step, after = half.step(X[:, 0], zeros)
    for tensor in (outputs, step, *state, *after):
        assert keras.backend.standardize_dtype(tensor.dtype) == half.compute_dtype
    # bfloat16 keeps 8 bits of states of size one.
    same(as_float32((outputs, state)), (expected, expected_state), 0.05)


def test_both_directions_have_cells_of_their_own():
    block = RecurrentBlock(NestedCell(3), bidirectional=True)
    outputs, state = block(X, mask=MASKS["gaps"])
    assert outputs.shape == (3, 5, 6)
    assert [part.shape[-1] for part in state] == [6, 6, 4] == list(block.state_sizes)
    assert len(block.weights) == 8
    turned, last = block.backward(X[:, ::-1], mask=MASKS["gaps"][:, ::-1])
    same(outputs[:, :, 3:], keras.ops.flip(turned, axis=1), 1e-6)
    same([part[:, part.shape[-1] // 2 :] for part in state], list(last), 1e-6)


class NoState(L.Layer):
    def call(self, inputs, states):
        return inputs, states


def step(inputs, states):
    return inputs, states


class Stateless(L.Layer):
    state_size = 3

    def call(self, inputs):
        return inputs


class Stateful:
    state_size = 3

    def call(self, inputs, states):
        return inputs, states


@pytest.mark.parametrize(
    ("cell", "error", "message"),
    [
        (NoState(), TypeError, "NoState does not: it would have to have `state_size`"),
        (L.Dense(3), TypeError, "Dense does not: it would have to have `state_size`"),
        (step, TypeError, r"function does not: it would have to be a keras Layer, have `state_"),
        (Stateless(), TypeError, r"Stateless does not: it would have to have `call\(inputs, sta"),
        (Stateful(), TypeError, "Stateful does not: it would have to be a keras Layer"),
        (
            L.LSTMCell,
            TypeError,
            r"not its class; got the class LSTMCell. Make a cell first: LSTMCell\(",
        ),
        (
            L.LSTM(3),
            TypeError,
            "the layer LSTM, which loops over a cell. Give that layer's `cell`",
        ),
        (L.RNN(L.GRUCell(3)), TypeError, "got the layer RNN"),
    ],
)
def test_a_cell_without_the_contract_says_what_is_missing(cell, error, message):
    for make in (check_cell, CellRecurrent, lambda cell: decoder_with(cell=cell, units=None)):
        with pytest.raises(error, match=message):
            make(cell)


class GivesOutput(L.Layer):
    state_size = 2

    def call(self, inputs, states):
        return inputs


class GivesWide(GivesOutput):
    def call(self, inputs, states):
        return keras.ops.concatenate([inputs, inputs], axis=-1), states


class GivesWideState(GivesOutput):
    def call(self, inputs, states):
        return states[0], [keras.ops.concatenate([states[0], inputs], axis=-1)]


class GivesOneState(GivesOutput):
    state_size = (2, 2)

    def call(self, inputs, states):
        return states[0], [states[0]]


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        (GivesOutput, TypeError, r"\(output, states\) .* got KerasTensor of GivesOutput"),
        (GivesWide, ValueError, "outputs as wide as .* 2; got 4 of GivesWide"),
        (GivesWideState, ValueError, r"widths of its `state_size`, \(2,\); got \(4,\) of"),
        (GivesOneState, ValueError, r"widths of its `state_size`, \(2, 2\); got \(2,\) of"),
    ],
)
def test_a_cell_that_gives_something_else_is_an_error_as_soon_as_it_is_built(kind, error, message):
    with pytest.raises(error, match=rf"`cell` must give .*{message}"):
        CellRecurrent(kind()).build((None, None, 2))


def test_a_mask_of_another_shape_or_type_is_an_error():
    for layer in (CellRecurrent(L.GRUCell(3)), GRU(3), RecurrentBlock("lstm", 3)):
        with pytest.raises(ValueError, match=r"`mask` must .* \(3, 5, 2\); got \(1, 5\)"):
            layer(X, mask=np.ones((1, 5), bool))
        with pytest.raises(TypeError, match=r"`mask` must be bool, .* got float32"):
            layer(X, mask=np.ones((3, 5), "float32"))


@pytest.mark.parametrize("size", [(), (3, 0), (None,), ("3",)])
def test_states_must_be_vectors_of_known_width(size):
    cell = NestedCell(3)
    cell.state_size = size
    with pytest.raises(ValueError, match=r"`cell.state_size` must hold positive integers"):
        check_cell(cell)


def test_options_of_named_cells_are_refused():
    with pytest.raises(ValueError, match="leave `units` out; got units=3"):
        RecurrentBlock(L.GRUCell(3), 3)
    with pytest.raises(ValueError, match=r"give it to GRUCell; got recurrent_dropout=0\.1"):
        encoder_with(cell=L.GRUCell(3), units=None, recurrent_dropout=0.1)


def test_a_simple_rnn_is_its_formula():
    layer = CellRecurrent(L.SimpleRNNCell(WIDTH))
    layer.build(X.shape)
    kernel, recurrent_kernel, bias = reference.arrays(layer)
    h = np.zeros((3, WIDTH))
    for t in range(5):
        h = np.tanh(X[:, t] @ kernel + h @ recurrent_kernel + bias)
    same(layer(X)[1][0], h, 1e-6)
