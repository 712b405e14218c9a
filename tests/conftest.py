"""Settings that all tests share: quiet TensorFlow, float32, one seed, and real corpora on request.

With `KERAS_BACKEND=jax` or `torch`, the tests marked `backend_neutral` run on that backend, also
where TensorFlow is not installed.
"""

import os

# TensorFlow and Keras read these once, when they are imported, so they are set before any test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.setdefault("KERAS_BACKEND", "tensorflow") == "jax":
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    # Tests spend their time in compilation, and little in the compiled programs.
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND != "tensorflow":
    from keras.src.backend.common import dtypes

    # Oracles and finite differences are float64. Keras (3.15) computes in float64 on TensorFlow
    # alone, and JAX does so only on request. Users of the other backends have float32 and neither
    # of these two settings; tests/models/test_backends.py runs the backends as these users do.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"

CORPORA_VARIABLE = "KERAS_S2S_CORPORA"
SEED = 20240229
WEB_PACKAGE = "onnxruntime-web@1.30"
WEB_FOLDER = "KERAS_S2S_ORT_WEB"  # names a folder that has it in node_modules


def corpora_folder() -> Path | None:
    """Returns the folder that the environment variable names, or None if it is not set."""
    named = os.environ.get(CORPORA_VARIABLE)
    return Path(named) if named else None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Ignores, on backends but TensorFlow, the modules that are not marked `backend_neutral`."""
    if BACKEND == "tensorflow" or not collection_path.name.startswith("test_"):
        return None
    return "mark.backend_neutral" not in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what `-m` does not ask for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_further_cases(items)
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


def mark_further_cases(items: list[pytest.Item]) -> None:
    """Marks the cases of a test after the first `n` as thorough, where it has `quick_cases(n)`."""
    cases: Counter[str] = Counter()
    for item in items:
        marker = item.get_closest_marker("quick_cases")
        if marker is not None:
            test = item.nodeid.partition("[")[0]
            cases[test] += 1
            if cases[test] > marker.args[0]:
                item.add_marker(pytest.mark.thorough)


@pytest.fixture
def corpora() -> Path:
    """The folder of the real corpora. Tests that use it carry `@pytest.mark.corpora`."""
    folder = corpora_folder()
    if folder is None:
        pytest.skip(f"set {CORPORA_VARIABLE} to the folder of the corpora to run this test")
    return folder


@pytest.fixture(scope="session")
def served_words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A translator of characters to words, exported for TensorFlow Serving: a `served.Served`."""
    from support.served import PAIRS, serve

    served = serve(PAIRS[0], tmp_path_factory.mktemp("words"))
    yield served
    served.session.close()


@pytest.fixture(scope="session")
def served_pieces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A translator with SentencePiece on both sides, exported in the same way."""
    from support.served import PAIRS, serve

    served = serve(PAIRS[1], tmp_path_factory.mktemp("pieces"))
    yield served
    served.session.close()


@pytest.fixture(scope="session")
def exported_cats(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A complete export of a translator of characters to words: a `served.Exported`."""
    from support.served import export

    return export(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def tensorflow_2_20(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the shared libraries of TensorFlow 2.20.0 and its Text."""
    from support.served import unpack_tensorflow_2_20

    return unpack_tensorflow_2_20(tmp_path_factory.mktemp("tensorflow-2.20"))


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with onnxruntime-web in its node_modules."""
    if named := os.environ.get(WEB_FOLDER):
        return Path(named)
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("node and npm are needed to run a model as a browser does")
    folder = tmp_path_factory.mktemp("web")
    (folder / "package.json").write_text("{}")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", WEB_PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"{WEB_PACKAGE} cannot be installed; name a folder that has it in {WEB_FOLDER}")
    return folder


@pytest.fixture(autouse=True)
def keras_state() -> Iterator[None]:
    """Starts every test in float32 and from one seed, whatever keras.json or the last test set.

    This fixture does not import Keras, so tests that do not use Keras stay quick.
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


if BACKEND == "torch":
    import keras
    import torch

    @pytest.fixture(autouse=True)
    def outputs_are_readable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Allows gradients only in `fit` and in `backends.gradients`.

        Torch makes no NumPy array of a tensor that gradients may flow through, and nearly every
        test compares outputs as NumPy arrays.
        """
        monkeypatch.setattr(keras.Model, "fit", torch.enable_grad()(keras.Model.fit))
        with torch.no_grad():
            yield


if BACKEND == "jax":
    import jax

    @pytest.fixture(autouse=True, scope="module")
    def programs_are_dropped() -> Iterator[None]:
        """Frees what XLA compiled for a module.

        Each compiled program keeps its own pieces of memory mapped, and a process may map 65,530
        (Linux' `vm.max_map_count`): after some thousand programs the compiler itself crashes.
        """
        yield
        jax.clear_caches()
