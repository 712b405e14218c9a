"""Every option of every layer trains, saves, loads elsewhere, is symbolic, and has half precision.

The rows are in `designs`. What an option computes is tested where its module is tested.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from support.backends import BACKEND
from support.designs import (
    BLOCK,
    BLOCK_CLASS,
    BRIDGES,
    DECODER,
    ENCODER,
    LABELS,
    MODEL,
    SOURCE,
    TARGET,
    Decoder,
    Encoder,
    Seq2Seq,
    every_model,
    randomized,
)

TABLES = {
    Encoder: ENCODER,
    Decoder: DECODER,
    BLOCK_CLASS: BLOCK,
    Seq2Seq: MODEL,
    **BRIDGES,
}
each_class = pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
MODELS = every_model()
each_model = pytest.mark.parametrize("name", MODELS)


eager = pytest.mark.skipif(BACKEND != "tensorflow", reason="reads the gradients of an eager `fit`")


def options_of(kind):
    if kind.__init__ is keras.layers.Layer.__init__:
        return set()
    parameters = inspect.signature(kind.__init__).parameters.values()
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self"}


def made(name):
    return MODELS[name]()


@each_class
def test_the_table_names_every_option(kind):
    assert set(TABLES[kind]) == options_of(kind)


@each_class
def test_the_configuration_names_every_option(kind):
    example = {
        Encoder: lambda: Encoder(vocabulary_size=5, embedding_size=2, units=2),
        Decoder: lambda: Decoder(vocabulary_size=5, embedding_size=2, units=2),
        BLOCK_CLASS: lambda: BLOCK_CLASS("gru", 2),
        Seq2Seq: lambda: next(iter(MODELS.values()))()[0],
    }.get(kind, lambda: kind(**{"state_sizes": ((2,),)} if "state_sizes" in TABLES[kind] else {}))
    assert options_of(kind) <= set(example().get_config())


class Recording(keras.optimizers.SGD):
    """Keeps the gradients that `fit` gives it."""

    def apply(self, grads, trainable_variables=None):
        self.seen = dict(zip((v.path for v in trainable_variables), grads, strict=True))
        super().apply(grads, trainable_variables)


def gradients_of_fit(model, inputs):
    """By the weight's path, what one step of `fit` gave the optimizer."""
    model.compile(Recording(0.01), run_eagerly=True)
    loss = model.fit(inputs, LABELS, batch_size=4, verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    assert len(optimizer.seen) == len(model.trainable_weights) > 0
    return {path: keras.ops.convert_to_numpy(g) for path, g in optimizer.seen.items()}


@pytest.mark.quick_cases(3)
@eager
@each_model
def test_a_step_of_fit_gives_every_weight_a_gradient(name):
    model, inputs = made(name)
    model.build()
    randomized(model)
    for path, gradient in gradients_of_fit(model, inputs).items():
        assert np.isfinite(gradient).all(), path
        assert np.any(gradient), path


@pytest.mark.quick_cases(3)
@each_model
def test_symbolic_call_takes_unknown_batch_and_lengths(name):
    model, inputs = made(name)
    model.build()
    symbolic = {}
    for key, value in inputs.items():
        shape = [None] * (value.ndim - 1)
        if key == "source_features":
            shape[-1] = value.shape[-1]
        symbolic[key] = keras.Input(shape, dtype="float32" if key == "alignments" else "int32")
    assert model(symbolic).shape == (None, None, 9)


@pytest.mark.slow
@eager
@each_model
def test_float16_gives_every_weight_a_finite_gradient(name):
    keras.config.set_dtype_policy("mixed_float16")
    model, inputs = made(name)
    model.build()
    randomized(model, scale=0.3)
    for path, gradient in gradients_of_fit(model, inputs).items():
        assert np.isfinite(gradient).all(), path
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


@pytest.mark.quick_cases(3)
@each_model
def test_mixed_precision_steps_in_one_dtype(name):
    """What a search loops over must not change its dtype."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, inputs = made(name)
    model.build()
    memory, state = model.encode(SOURCE, inputs.get("source_features"))
    logits, after, weights = model.step(TARGET[:, 0], state, memory)
    dtype_of = keras.backend.standardize_dtype
    assert (dtype_of(logits.dtype), dtype_of(weights.dtype)) == ("bfloat16", "float32")
    for before, now in zip(keras.tree.flatten(state), keras.tree.flatten(after), strict=True):
        assert dtype_of(before.dtype) == dtype_of(now.dtype)


IN_A_FRESH_PROCESS = """
import json, sys
sys.path.insert(0, sys.argv[2])
import keras, numpy as np
from support import designs
folder = sys.argv[1]
for i, make in enumerate(designs.every_model().values()):
    _, inputs = make()
    model = keras.saving.load_model(f"{folder}/{i}.keras")
    with open(f"{folder}/{i}.json") as saved:
        assert json.dumps(model.get_config()) == saved.read(), i
    np.save(f"{folder}/{i}.npy", keras.ops.convert_to_numpy(model(inputs)))
"""


@pytest.mark.thorough
def test_every_model_loads_in_a_fresh_process(tmp_path):
    expected = {}
    for i, (name, make) in enumerate(MODELS.items()):
        model, inputs = make()
        model.build()
        randomized(model)
        model.save(tmp_path / f"{i}.keras")
        (tmp_path / f"{i}.json").write_text(json.dumps(model.get_config()))
        expected[name] = keras.ops.convert_to_numpy(model(inputs))
    here = Path(__file__).parents[1]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_FRESH_PROCESS, str(tmp_path), str(here)],
        cwd=here.parent,
        env={**os.environ, "PYTHONPATH": str(here.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    for i, (name, logits) in enumerate(expected.items()):
        np.testing.assert_array_equal(np.load(tmp_path / f"{i}.npy"), logits, err_msg=name)
