"""Who may import whom: every import in the package against one table, and what stays unloaded.

A new module is one new row in `TABLE`. A room that becomes a folder keeps its row:
`attention/scores.py` falls under `attention`, and its files may import each other.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "keras_s2s"
ANY = "*"


class Rule(NamedTuple):
    """What a module may import besides the standard library: packages, and rooms of this one."""

    packages: str = ""
    rooms: str = ""

    def allows_package(self, name: str) -> bool:
        return self.packages == ANY or name in self.packages.split()

    def allows_room(self, name: str) -> bool:
        return self.rooms == ANY or name in self.rooms.split()


TABLE = {
    # Stands below all others, which may import it without naming it in their rows.
    "system": Rule("keras"),
    # The modelling core: keras.ops only, so that it runs on every Keras backend.
    "attention": Rule("keras numpy", "checks scan"),
    "scan": Rule("keras tensorflow"),  # one function per backend; see BACKEND_SPECIFIC
    "cudnn": Rule("keras numpy tensorflow", "scan"),
    "recurrent": Rule("keras numpy", "checks cudnn scan"),
    "stack": Rule("keras", "checks recurrent scan"),
    "embedding": Rule("keras"),
    "output": Rule("keras"),
    "encoder": Rule("keras numpy", "attention checks embedding stack"),
    "bridge": Rule("keras numpy", "attention checks stack"),
    "design": Rule("keras", "attention checks recurrent stack"),
    "attending": Rule("keras", "attention design scan stack"),
    "decoder": Rule("keras numpy", "attending attention checks design embedding output stack"),
    "schedules": Rule("keras", "attention decoder scan stack"),
    "candidates": Rule("numpy tensorflow"),
    "losses": Rule("keras tensorflow", "candidates checks"),
    "regularized_dropout": Rule("keras", "checks losses"),
    "metrics": Rule("keras", "losses"),
    "adam": Rule("keras tensorflow"),
    "projection": Rule("keras numpy tensorflow", "candidates"),
    "steps": Rule("keras tensorflow", "inference losses metrics projection regularized_dropout"),
    "search": Rule("keras numpy", "checks"),
    "inference": Rule("keras numpy", "search"),
    "model": Rule(
        "keras numpy",
        "adam attention bridge checks cudnn decoder encoder losses metrics schedules stack steps",
    ),
    "migration": Rule("numpy", "attention decoder recurrent"),
    # Text and data.
    "text": Rule("keras numpy sentencepiece tensorflow tensorflow_text"),
    "reading": Rule(),
    "padding": Rule("numpy"),
    "embeddings": Rule("numpy", "reading"),
    "flat_arrays": Rule("numpy"),
    "pairs": Rule("numpy", "flat_arrays"),
    "length_order": Rule("numpy", "flat_arrays"),
    "batches": Rule("numpy", "length_order"),
    "resampling": Rule("numpy", "pairs text"),
    "shapes": Rule("numpy", "pairs"),
    "corpus": Rule(
        "numpy tensorflow",
        "batches hosts length_order pairs reading resampling shapes text",
    ),
    "hosts": Rule("jax keras numpy", "folder pairs"),
    "dates": Rule("babel"),
    # What joins them.
    "folder": Rule("", "settings"),
    "storage": Rule("h5py numpy", "folder"),
    "precision": Rule(),
    "translation": Rule("numpy", "search text"),
    "constraints": Rule("numpy", "padding search text"),
    "scoring": Rule("keras numpy", "inference padding"),
    "unknowns": Rule("keras numpy", "reading text translation"),
    "risk": Rule("keras numpy sacrebleu", "translation"),
    "translator": Rule(
        "keras numpy tensorflow",
        "attention checks constraints folder inference model padding precision risk scoring search "
        "storage text translation unknowns",
    ),
    "ensemble": Rule("keras numpy", "checks inference model search translator"),
    "averaging": Rule("numpy", "ensemble translator"),
    "choices": Rule(),
    "declaration": Rule(),
    "setting_fields": Rule("", "choices declaration"),
    "consistency": Rule("", "setting_fields"),
    "settings": Rule("", "choices consistency declaration reading setting_fields"),
    "rates": Rule("keras", "checks"),
    "moving_average": Rule("keras numpy"),
    "retraces": Rule("keras", "steps"),
    "callbacks": Rule("keras numpy rich", "folder moving_average scores"),
    "construction": Rule(
        "keras",
        "adam attention decoded decoder embeddings encoder losses model precision rates reading "
        "regularized_dropout scores search settings text translator",
    ),
    "training": Rule(
        "keras rich",
        "callbacks construction corpus decoded folder hosts moving_average retraces "
        "settings text "
        "translator",
    ),
    "scores": Rule("rapidfuzz sacrebleu"),
    "decoded": Rule("keras", "checks moving_average scores search translator"),
    "glyphs": Rule("matplotlib"),
    "plots": Rule("matplotlib numpy", "glyphs"),
    # The front doors.
    "__init__": Rule("keras wrapt", ANY),
    "__main__": Rule("", "cli"),
    "terminal": Rule("rich"),
    "options": Rule("typer", "choices"),
    "commands": Rule(ANY, ANY),
    "cli": Rule(ANY, ANY),
    "quickstart": Rule(ANY, ANY),
    "recipe": Rule("", "settings"),
    "recipe_run": Rule(
        "",
        "averaging distillation ensemble export folder reading recipe recipe_scores settings "
        "training translator",
    ),
    "distillation": Rule("", "choices folder reading settings translator"),
    "recipe_scores": Rule("", "export folder reading recipe scores"),
    "recipe_table": Rule("", "plots recipe scores"),
    # The exporters see the library from outside.
    "export": Rule(ANY, ANY),
}

# Core modules with a TensorFlow branch, imported inside the function that runs on that backend.
BACKEND_SPECIFIC = {"adam", "candidates", "cudnn", "losses", "projection", "scan", "steps"}
CORE = {
    *(
        "system",
        "attention",
        "scan",
        "cudnn",
        "recurrent",
        "stack",
        "embedding",
        "output",
        "encoder",
        "bridge",
        "design",
        "attending",
    ),
    *("decoder", "schedules", "inference", "model", "migration"),
    *("adam", "candidates", "losses", "metrics", "projection", "search", "steps"),
    "regularized_dropout",
}
# The commands, and the modules they hand a whole command to, are the only ones that know the
# exporters.
MAY_IMPORT_EXPORT = {"cli", "commands", "quickstart", "recipe_run", "recipe_scores"}
FRONT_DOORS = {"cli", "commands", "quickstart", "__main__"}

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


def imported_names(tree: ast.AST, module: str) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of every import, also in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                # `module` always ends in a file name (`__init__` too), which is what one dot drops.
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call):
            function = ast.unparse(node.func).split(".")[-1]
            first = node.args[0] if node.args else None
            if function in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value)


def objection(room: str, name: str) -> str | None:
    """Why `room` may not import the dotted `name`; None when it may."""
    top, *rest = name.split(".")
    rule = TABLE[room]
    if top in sys.stdlib_module_names:
        return None
    if top != PACKAGE:
        return None if rule.allows_package(top) else f"{top} is not in its row: {rule.packages!r}"
    target = rest[0] if rest else PACKAGE
    if target in {room, "system"}:
        return None
    if target in {room_of(module) for module in modules()} - set(TABLE):
        return f"{target} has no row in TABLE yet"
    if target not in TABLE:  # a name such as keras_s2s.Translator, re-exported for users
        allowed = room in {*FRONT_DOORS, "export"}
        return None if allowed else f"{name} is a re-export; name the module that owns it"
    if target == "export":
        allowed = room in MAY_IMPORT_EXPORT
        return None if allowed else f"only {sorted(MAY_IMPORT_EXPORT)} may import export"
    if target in FRONT_DOORS:
        return None if room in FRONT_DOORS else f"{target} is a front door; nothing builds on it"
    return None if rule.allows_room(target) else f"{target} is not in its row: {rule.rooms!r}"


def violations(module: str, source: str) -> list[str]:
    """Every import in `source` that the row of `module` does not allow, as readable lines."""
    room = room_of(module)
    found = [
        (line, name, objection(room, name))
        for line, name in imported_names(ast.parse(source), module)
    ]
    return [f"line {line}: {room} imports {name}: {why}" for line, name, why in found if why]


@pytest.mark.parametrize("module", modules())
def test_module_imports_only_what_its_row_allows(module: str) -> None:
    path = modules()[module]
    if room_of(module) not in TABLE:
        pytest.fail(
            f"{path.relative_to(ROOT)} has no row in TABLE of tests/test_imports.py. "
            f"Add one for {room_of(module)!r} that says what it may import."
        )
    found = violations(module, path.read_text(encoding="utf-8"))
    assert not found, f"{path.relative_to(ROOT)}:\n  " + "\n  ".join(found)


def test_table_keeps_tensorflow_out_of_the_modelling_core() -> None:
    assert {room for room in CORE if TABLE[room].allows_package("tensorflow")} == BACKEND_SPECIFIC


@pytest.mark.parametrize("module", [name for name in modules() if room_of(name) in CORE])
def test_importing_the_modelling_core_needs_only_keras(module: str) -> None:
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = imported_names(ast.Module(statements, []), module)
    tops = {name.split(".")[0] for _, name in names} - sys.stdlib_module_names
    assert tops <= {"keras", "numpy", PACKAGE}


@pytest.mark.parametrize(
    ("module", "statement", "culprit"),
    [
        ("keras_s2s.attention", "import tensorflow as tf", "tensorflow"),
        ("keras_s2s.attention", "def f():\n    from tensorflow.keras import layers", "tensorflow"),
        ("keras_s2s.attention", "from keras_s2s.export import onnx", "export"),
        ("keras_s2s.attention", "from .export.spec import GraphSpec", "export"),
        ("keras_s2s.search", "import importlib\nimportlib.import_module('torch')", "torch"),
        ("keras_s2s.attending", "if TYPE_CHECKING:\n    import numpy", "numpy"),
        ("keras_s2s.attention.scores", "from .. import export", "export"),
        ("keras_s2s.translator", "from .cli import main", "cli"),
        ("keras_s2s.export.spec", "from keras_s2s.quickstart import run", "quickstart"),
        ("keras_s2s.model", "from keras_s2s import Translator", "Translator"),
        ("keras_s2s.scores", "from keras_s2s import __version__", "__version__"),
        ("keras_s2s.system.checks", "from keras_s2s.reading import read_tsv", "reading"),
    ],
)
def test_forbidden_import_is_found(module: str, statement: str, culprit: str) -> None:
    found = violations(module, statement)

    assert len(found) == 1
    assert culprit in found[0]


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("keras_s2s.attention", "import abc, math\nfrom keras import ops\nimport numpy as np"),
        (
            "keras_s2s.encoder",
            "from keras_s2s.attention import Memory\nfrom .stack import State",
        ),
        ("keras_s2s.attention.scores", "from .energy import dot\nfrom . import energy"),
        ("keras_s2s.cli", "def export():\n    from keras_s2s.export import onnx"),
        (
            "keras_s2s.export.tracing",
            "import tensorflow as tf\nfrom keras_s2s.translator import Translator",
        ),
        ("keras_s2s.callbacks", "from keras_s2s.system.version import __version__"),
    ],
)
def test_allowed_import_passes(module: str, statement: str) -> None:
    assert violations(module, statement) == []


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
    code = "sys.argv = ['keras-s2s', '--help']; from keras_s2s.cli import main; main()"
    assert loaded_after(code) == set()


def test_every_package_folder_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = project["tool"]["setuptools"]
    folders = {module.rsplit(".", 1)[0] for module in modules()}
    assert folders <= set(settings["packages"]), "name each new sub-package in pyproject.toml"
    assert set(settings["package-dir"].values()) == {PACKAGE, "export"}
    assert "py.typed" in settings["package-data"][PACKAGE]
    assert (ROOT / PACKAGE / "py.typed").is_file()
