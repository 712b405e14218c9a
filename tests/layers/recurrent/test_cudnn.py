"""Tests of cuDNN's kernel: its inputs, the use of its outputs, and when it is used at all.

Where there is no GPU, the layer's own loop takes the place of the kernel under cuDNN's contract:
real steps come first, each row has at least one, and zeros follow them.
"""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_s2s import Decoder, Encoder, Seq2Seq
from keras_s2s.export import tracing
from keras_s2s.layers.recurrent import CELLS, GRU, LSTM, cudnn

PAIRS = [(LSTM, keras.layers.LSTM), (GRU, keras.layers.GRU)]
KINDS = [LSTM, GRU]
MASKS = {
    "none": None,
    "right": [[1, 1, 1, 1], [1, 1, 0, 0]],
    "left": [[0, 1, 1, 1], [0, 0, 0, 1]],
    "gaps": [[0, 1, 0, 1], [1, 0, 0, 1]],
    "an empty row": [[0, 0, 0, 0], [1, 1, 1, 0]],
}


@pytest.fixture(autouse=True)
def _asked_anew() -> Any:
    cudnn.agrees.cache_clear()
    yield
    cudnn.agrees.cache_clear()


@pytest.fixture
def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow says that there is a GPU."""
    for name in ("list_physical_devices", "list_logical_devices"):
        real = getattr(tf.config, name)
        monkeypatch.setattr(
            tf.config,
            name,
            lambda kind=None, real=real: ["GPU:0"] if kind == "GPU" else real(kind),
        )


@pytest.fixture
def trusted(with_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And cuDNN on it was found to agree."""
    monkeypatch.setattr(cudnn, "agrees", lambda kind, dtype: True)


def loop_as_kernel(layer: Any) -> Any:
    """The layer's own loop behind the contract of cuDNN."""

    def kernel(
        mode: str, inputs: Any, state: Any, parameters: Any, lengths: Any, training: Any
    ) -> Any:
        assert mode == layer.cudnn_mode
        assert int(tf.reduce_min(lengths)) >= 1
        real = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        layer.use_cudnn = False
        outputs, new = layer.call(inputs, state, real, training)
        return outputs * tf.cast(real, outputs.dtype)[:, :, None], new

    return kernel


def handed_over(monkeypatch: pytest.MonkeyPatch, call: Any) -> dict[str, Any]:
    """The arguments that the kernel is called with."""
    taken = {}

    class TakenError(Exception):
        pass

    def kernel(**arguments: Any) -> None:
        taken.update(arguments)
        raise TakenError

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", kernel)
    with pytest.raises(TakenError):
        call()
    return taken


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_hands_over_what_keras_does(
    ours: Any, theirs: Any, with_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(2, 4, 3)).astype("float32")
    mask = np.array(MASKS["right"], bool)
    layer = ours(5)
    state = tuple(tf.constant(rng.normal(size=(2, 5)), "float32") for _ in layer.state_sizes)
    layer.build((None, None, 3))
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    keras_layer = theirs(5, return_sequences=True, return_state=True)
    keras_layer.build((None, None, 3))
    keras_layer.set_weights(layer.get_weights())

    expected = handed_over(
        monkeypatch,
        lambda: keras_layer(inputs, initial_state=list(state), mask=mask, training=True),
    )
    received = handed_over(
        monkeypatch, lambda: cudnn.recurrence(layer, inputs, state, mask, training=True)
    )

    assert received.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(received[name], value, err_msg=name)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_mask_gives_what_the_loop_gives(
    kind: Any, mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    layer = kind(5)
    inputs = tf.constant(rng.normal(size=(2, 4, 3)), "float32")
    state = tuple(tf.constant(rng.normal(size=(2, 5)), "float32") for _ in layer.state_sizes)
    kept = None if MASKS[mask] is None else np.array(MASKS[mask], bool)
    expected = layer(inputs, state, mask=kept)
    monkeypatch.setattr(cudnn, "kernel", loop_as_kernel(layer))

    received = cudnn.recurrence(layer, inputs, state, kept, training=False)

    for ours, theirs in zip(tf.nest.flatten(received), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pass_through_what_surrounds_the_kernel(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernel(mode: str, inputs: Any, state: Any, parameters: Any, *rest: Any) -> Any:
        # The weights come back out of cuDNN's order, so their gradients pass through it too.
        layer = kind(8, dtype="float64")
        gates, width, units = layer.gates, inputs.shape[-1], 8
        order = np.argsort(cudnn.ORDERS[mode])
        sizes = [gates * units * width, gates * units * units, 2 * gates * units]
        a, b, c = tf.split(parameters, sizes)
        matrices = [
            tf.concat([tf.transpose(tf.reshape(x, [gates, units, -1])[g]) for g in order], axis=1)
            for x in (a, b)
        ]
        biases = tf.gather(tf.reshape(c, [2, gates, units]), order, axis=1)
        both = tf.reshape(biases, [2, -1])
        layer.kernel, layer.recurrent_kernel = matrices
        layer.bias = both if mode == "gru" else tf.reduce_sum(both, axis=0)
        return loop_as_kernel(layer)(mode, inputs, state, parameters, *rest)

    monkeypatch.setattr(cudnn, "kernel", kernel)
    assert cudnn._difference(kind, "float64") < 1e-12


def test_a_kernel_that_gives_something_else_is_not_used(
    with_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kernel(mode: str, inputs: Any, state: Any, *rest: Any) -> Any:
        return tf.zeros([*inputs.shape[:2], state[0].shape[-1]]), state

    monkeypatch.setattr(cudnn, "kernel", kernel)
    layer, inputs = LSTM(4), np.ones((2, 3, 3), "float32")
    with pytest.warns(cudnn.CudnnWarning, match=r"LSTM runs as a loop .* differ by"):
        outputs, _ = layer(inputs)
    assert np.abs(outputs).max() > 0  # the loop's, and no second warning
    layer(inputs)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="there is a GPU")
def test_a_kernel_that_fails_is_not_used(with_gpu: None) -> None:
    with pytest.warns(cudnn.CudnnWarning, match=r"GRU runs as a loop .* fails"):
        GRU(4)(np.ones((2, 3, 3), "float32"))


def operations(run: Any) -> set[str]:
    """The kinds of operation of a function's graph, called with a batch of ids or of rows."""
    graph = tf.function(run).get_concrete_function().graph
    return {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize("kind", KINDS)
def test_is_traced_with_its_gradient_where_it_serves(kind: Any, trusted: None) -> None:
    layer = kind(4)
    layer.build((None, None, 3))

    def trained() -> Any:
        with tf.GradientTape() as tape:
            outputs, _ = layer(tf.ones((2, 5, 3)), mask=tf.ones((2, 5), "bool"), training=True)
            loss = tf.reduce_sum(outputs)
        return tape.gradient(loss, [w.value for w in layer.weights])

    assert {"CudnnRNNV3", "CudnnRNNBackpropV3"} <= operations(trained)
    assert "CudnnRNNV3" in operations(lambda: layer(tf.ones((2, 5, 3)))[0])
    assert not layer.supports_jit


@pytest.mark.parametrize(
    ("layer", "training"),
    [
        (lambda: LSTM(4, recurrent_dropout=0.5), True),
        (lambda: LSTM(4, dtype="bfloat16"), False),
        (lambda: CELLS["layer_norm_lstm"](4), False),
    ],
    ids=["recurrent dropout", "bfloat16", "layer normalisation"],
)
def test_does_not_serve_what_it_does_not_compute(layer: Any, training: bool, trusted: None) -> None:
    assert not cudnn.serves(layer(), training)
    assert cudnn.serves(LSTM(4, recurrent_dropout=0.5), training=False)


def small_model() -> Seq2Seq:
    model = Seq2Seq(
        Encoder(vocabulary_size=9, embedding_size=4, units=4, cell="lstm"),
        Decoder(vocabulary_size=9, embedding_size=4, units=8, cell="lstm"),
    )
    model.build()
    return model


def test_serves_a_whole_model_but_neither_exports_nor_xla(trusted: None) -> None:
    model = small_model()
    inputs = {"source_ids": tf.ones((2, 5), "int32"), "target_ids": tf.ones((2, 4), "int32")}

    def run() -> Any:
        return model(inputs, training=False)

    assert "CudnnRNNV3" in operations(run)
    with tracing.without_cudnn(model):
        assert "CudnnRNNV3" not in operations(run)
    assert "CudnnRNNV3" in operations(run)  # as it was

    model.compile(jit_compile=True)
    assert "CudnnRNNV3" not in operations(run)
    assert model.jit_compile
    model.compile()
    assert "CudnnRNNV3" in operations(run)


def test_a_machine_without_gpu_never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(cudnn, "agrees", lambda kind, dtype: pytest.fail("asked"))
    layer = LSTM(4)
    assert not cudnn.serves(layer, training=True)
    assert layer.supports_jit


@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_the_loop_on_a_gpu(kind: Any, dtype: str) -> None:
    assert cudnn.agrees(kind, dtype)
