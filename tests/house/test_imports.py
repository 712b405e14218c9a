"""The import contracts of pyproject.toml hold, and packages are loaded only when they are used.

Who may import whom stands in pyproject.toml, under `[tool.importlinter]`; `make imports` checks it.
"""

import ast
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "keras_s2s"

# Nothing a command's help needs; each is imported where it is used.
HEAVY = {
    "babel",
    "jax",
    "keras",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "rapidfuzz",
    "sacrebleu",
    "sentencepiece",
    "tensorflow",
    "tensorflow_text",
    "tf2onnx",
}


# The modelling core: keras.ops only, so that it runs on every Keras backend. `steps` and a few
# others have a TensorFlow branch, imported inside the function that runs on that backend.
CORE = {"layers", "models", "optimization", "search"}


def modules() -> dict[str, Path]:
    """Dotted name → file, with export/ under the name it is installed by."""
    files = {}
    for folder, prefix in ((ROOT / PACKAGE, PACKAGE), (ROOT / "export", f"{PACKAGE}.export")):
        for path in sorted(folder.rglob("*.py")):
            files[".".join([prefix, *path.relative_to(folder).with_suffix("").parts])] = path
    return files


def room_of(dotted: str) -> str:
    """`keras_s2s.attention.scores` → `attention`."""
    return dotted.split(".")[1]


def imported_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, also in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name their module from the top: from keras_s2s.room ..."
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func).split(".")[-1]
            first = node.args[0] if node.args else None
            if function in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value)


def laid_out(folder: Path) -> Path:
    """The package as a wheel lays it out: `export` inside `keras_s2s`."""
    shutil.copytree(ROOT / PACKAGE, folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        ROOT / "export", folder / PACKAGE / "export", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", str(ROOT / "pyproject.toml")],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_contracts_are_kept(tmp_path: Path) -> None:
    run = lint(laid_out(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("module", "statement", "culprit"),
    [
        ("layers/attention/scores", "import tensorflow as tf", "tensorflow"),
        (
            "layers/attention/scores",
            "def f():\n    from tensorflow.keras import layers",
            "tensorflow",
        ),
        ("layers/attention/scores", "from keras_s2s.export.onnx import models", "export"),
        ("layers/encoder", "from keras_s2s.optimization import losses", "optimization"),
        ("layers/bridge", "from keras_s2s.search import BeamSearch", "search"),
        ("search/loop", "from keras_s2s.search.beam import BeamSearch", "search"),
        (
            "models/inference",
            "if TYPE_CHECKING:\n    from keras_s2s.translation import results",
            "results",
        ),
        ("translation/translator", "from keras_s2s.cli.main import main", "cli"),
        ("training/run", "from keras_s2s.export import export_translator", "export"),
        ("export/specs/spec", "from keras_s2s.recipes.quickstart import run", "quickstart"),
        ("export/serving/rest", "from keras_s2s.export.parity import comparison", "comparison"),
    ],
)
def test_a_forbidden_import_breaks_a_contract(
    tmp_path: Path, module: str, statement: str, culprit: str
) -> None:
    path = laid_out(tmp_path) / PACKAGE / f"{module}.py"
    assert path.is_file()
    imports = "from typing import TYPE_CHECKING\n" if "TYPE_CHECKING" in statement else ""
    path.write_text(path.read_text(encoding="utf-8") + f"\n{imports}{statement}\n", "utf-8")

    run = lint(tmp_path)

    assert run.returncode != 0
    assert culprit in run.stdout.split("Broken contracts")[1]


@pytest.mark.parametrize("module", modules())
def test_a_module_names_the_module_that_owns_what_it_imports(module: str) -> None:
    """Not the face of the package: that would import everything, in a circle."""
    names = dict(imported_names(ast.parse(modules()[module].read_text(encoding="utf-8")))).values()
    rooms = {room_of(name) for name in modules()}
    from_the_face = [name for name in names if name.split(".")[0] == PACKAGE]
    assert {name.split(".")[1] for name in from_the_face if "." in name} <= rooms


@pytest.mark.parametrize("module", [name for name in modules() if room_of(name) in CORE])
def test_importing_the_modelling_core_needs_only_keras(module: str) -> None:
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = imported_names(ast.Module(statements, []))
    tops = {name.split(".")[0] for _, name in names} - sys.stdlib_module_names
    assert tops <= {"keras", "numpy", PACKAGE}


def loaded_after(code: str) -> set[str]:
    """The heavy packages in sys.modules after `code` ran in a fresh interpreter."""
    lines = [
        "import sys",
        "try:",
        f"    {code}",
        "except SystemExit:",
        "    pass",
        "print('loaded:', *{name.split('.')[0] for name in sys.modules})",
    ]
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (report,) = [line for line in run.stdout.splitlines() if line.startswith("loaded:")]
    return HEAVY & set(report.split()[1:])


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import keras_s2s") == set()


@pytest.mark.parametrize("module", [name for name in modules() if room_of(name) == "system"])
def test_the_system_room_loads_nothing_heavy(module: str) -> None:
    assert loaded_after(f"import {module}") == set()


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    code = "sys.argv = ['keras-s2s', '--help']; from keras_s2s.cli.main import main; main()"
    assert loaded_after(code) == set()


def test_former_names_of_rooms_stay() -> None:
    code = "import keras_s2s.allocation as a, keras_s2s; assert a is keras_s2s.allocation"
    assert loaded_after(code) == set()
    assert loaded_after("import keras_s2s.attention, keras_s2s.recurrent") == set()
    code = (
        "import keras_s2s; from keras_s2s.attention import Mechanism;"
        "assert keras_s2s.attention.Mechanism is Mechanism is keras_s2s.Mechanism;"
        "from keras_s2s.recurrent import *; assert keras_s2s.recurrent.GRU is GRU"
    )
    assert "keras" in loaded_after(code)


def test_whoever_looks_through_all_modules_loads_nothing_heavy() -> None:
    code = "import keras_s2s; [hasattr(module, '__file__') for module in [*sys.modules.values()]]"
    assert loaded_after(code) == set()


def test_every_package_folder_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = project["tool"]["setuptools"]
    folders = {module.rsplit(".", 1)[0] for module in modules()}
    assert folders <= set(settings["packages"]), "name each new sub-package in pyproject.toml"
    assert set(settings["package-dir"].values()) == {PACKAGE, "export"}
    assert "py.typed" in settings["package-data"][PACKAGE]
    assert (ROOT / PACKAGE / "py.typed").is_file()
