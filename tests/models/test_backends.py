"""A model that one Keras backend trained and saved gives the same outputs on another.

The other backend runs in a process of its own, computes in 32 bits as it does for a user, and turns
warnings into errors.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from support import exchange

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"the backend {name} is not installed"
        ),
    )
    for name in ("tensorflow", "jax", "torch")
    if name != keras.backend.backend()
]

# JAX would spend most of the test on optimizing what then runs for milliseconds.
SETTINGS = {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def on(backend, action, folder):
    warnings = ["-W", "error", "-W", "ignore:__array__ implementation:DeprecationWarning"]
    run = subprocess.run(
        [sys.executable, *warnings, exchange.__file__, action, str(folder)],
        cwd=ROOT,
        env={**os.environ, **SETTINGS, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def check(folder):
    with np.load(folder / "written.npz") as written, np.load(folder / "read.npz") as read:
        assert set(read) == set(written)
        for name, expected in written.items():
            if expected.dtype == np.int32:
                np.testing.assert_array_equal(read[name], expected, err_msg=name)
            else:
                # Float32 on both sides, with sums in other orders.
                np.testing.assert_allclose(read[name], expected, rtol=0, atol=1e-5, err_msg=name)
        assert len(np.unique(written["greedy ids"], axis=0)) > 1, "the outputs are to differ"


@pytest.mark.thorough
@pytest.mark.parametrize("other", OTHERS)
def test_what_is_trained_here_is_decoded_alike_elsewhere(other, tmp_path):
    exchange.write(tmp_path)
    on(other, "read", tmp_path)
    check(tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("other", OTHERS)
def test_what_is_trained_elsewhere_is_decoded_alike_here(other, tmp_path):
    on(other, "write", tmp_path)
    exchange.read(tmp_path)
    check(tmp_path)
