"""Recurrent sequence-to-sequence models with attention for Keras 3: train, decode, export.

Each public name is listed once, in `__init__.pyi`, and is imported on its first use. So `import
keras_s2s` and the help of the command line do not wait for TensorFlow.

A room imports only from the rooms below it in this list; `search`, `layers`, `optimization` and
`data` import nothing from each other:

- `cli/`: The command line `keras-s2s`.
- `recipes/`: Published tasks and the quickstart, from an empty folder to a table of results.
- `export` (the folder beside this one): SavedModels and ONNX files, proven equal to Keras.
- `training/`: A training run, from its settings to the folder that it leaves.
- `evaluation/`: Metrics of outputs, validation by decoding, and plots.
- `translation/`: From text to text with a trained model, and the file that holds it.
- `models/`: `Seq2Seq`, its training step, its inference model, and ensembles.
- `search/`: Greedy, beam, diverse and sampling search, with penalties and constraints.
- `layers/`: Encoder, bridge, attention, recurrent layers and decoder.
- `optimization/`: Losses, Adam, learning rates, and the moving average of the weights.
- `data/`: From text files to batches of ids.
- `text/`: Tokenizers.
- `system/`: Checks of arguments, atomic writing, facts about the machine, and the version.
"""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import lazy_loader
import wrapt

from keras_s2s.system import allocation


def _former_module(name: str, room: str) -> ModuleType:
    """Returns a module of version 0.1.0, which imports the room of its names on first use."""

    def former_name(attribute: str) -> Any:
        # Whoever looks through all modules asks for such names, and must not wait for TensorFlow.
        if attribute.startswith("__") and attribute != "__all__":
            raise AttributeError(f"module {module.__name__!r} has no attribute {attribute!r}")
        return getattr(importlib.import_module(f"{__name__}.{room}"), attribute)

    module = ModuleType(f"{__name__}.{name}", f"Has the names of `{__name__}.{room}`.")
    module.__dict__["__getattr__"] = former_name
    return module


_HERE = Path(__file__).parent
# The rooms whose classes are named in saved models, and the names of all modules in these rooms.
_SAVED = ("text", "optimization", "layers", "search", "models", "translation")
_MODULES = [
    ".".join((__name__, *path.relative_to(_HERE).with_suffix("").parts)).removesuffix(".__init__")
    for room in _SAVED
    for path in (_HERE / room).rglob("*.py")
]
# Names of version 0.1.0: programs import `Mechanism` from `keras_s2s.attention`, and
# `keep_freed_memory` from `keras_s2s.allocation`.
_FORMER = {"attention": "layers.attention", "recurrent": "layers.recurrent"}
sys.modules[f"{__name__}.allocation"] = allocation
for _name, _room in _FORMER.items():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _former_module(_name, _room)

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__ and name not in ("__version__", "keep_freed_memory"):
        importlib.import_module("keras")  # which also registers our classes: see `_register`
    return _public(name)


def _register(imported: Any = None) -> None:
    """Imports the modules with the classes that Keras may have to find in a saved model.

    Keras looks a class up among the registered ones, and imports none of our modules by itself.
    Nothing happens while a module of these rooms is still being imported, because the others could
    not use it yet. The end of that import calls this function again.

    Args:
        imported: module whose import has just ended and has called this function.
    """
    loaded = (sys.modules.get(name) for name in _MODULES)
    unfinished = any(
        getattr(getattr(module, "__spec__", None), "_initializing", False)
        for module in loaded
        if module is not imported
    )
    if "keras" in sys.modules and not unfinished:
        stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
        for module in re.findall(r"^from \.(\S+) import", stub, re.MULTILINE):
            if module.split(".")[0] in _SAVED:
                importlib.import_module(f"{__name__}.{module}")


# If Keras is imported already, the classes are registered now. Otherwise they are registered when
# Keras is imported, or when the first of our modules that imports Keras is complete. A model can
# therefore be loaded whichever module was imported first.
if "keras" in sys.modules:
    _register()
else:
    for _name in ("keras", *_MODULES):
        wrapt.when_imported(_name)(_register)
