"""Settings every test shares: quiet TensorFlow, float32, one seed, real corpora on request."""

import os

# Read once, when TensorFlow loads, so they are set before any test module is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CORPORA_VARIABLE = "KERAS_S2S_CORPORA"
SEED = 20240229


def corpora_folder() -> Path | None:
    """The folder named by the environment variable, or None when it is not set."""
    named = os.environ.get(CORPORA_VARIABLE)
    return Path(named) if named else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = corpora_folder()
    if folder is None:
        reason = f"reads real corpora; set {CORPORA_VARIABLE} to their folder to run it"
    elif not folder.is_dir():
        raise pytest.UsageError(
            f"{CORPORA_VARIABLE} must name a folder; got {str(folder)!r}, which is not one. "
            "Unset it to skip the tests on real corpora."
        )
    else:
        return
    for item in items:
        if item.get_closest_marker("corpora"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def corpora() -> Path:
    """Folder of the real corpora. Tests that ask for it carry `@pytest.mark.corpora`."""
    folder = corpora_folder()
    if folder is None:
        pytest.skip(f"set {CORPORA_VARIABLE} to the folder of the corpora to run this test")
    return folder


@pytest.fixture(autouse=True)
def keras_state() -> Iterator[None]:
    """Every test starts in float32 from one seed, whatever keras.json or the last test set.

    Tests that do not use Keras do not pay for its import.
    """
    keras = sys.modules.get("keras")
    if keras is None:
        yield
        return
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(SEED)
    yield
    keras.config.set_dtype_policy("float32")
