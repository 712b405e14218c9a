"""Recurrent sequence-to-sequence models with attention for Keras 3: train, decode, export.

Each public name stands once in `__init__.pyi` and is imported on its first use, so that `import
keras_s2s` and the help of the command line do not wait for TensorFlow.

The rooms, from the front door to the ground; each imports only from those below it:

- `cli`: the command line `keras-s2s`.
- `recipes`: published tasks, and the quickstart, from an empty folder to a table of results.
- `export` (the folder beside this one): SavedModel and ONNX files, proven equal to Keras.
- `training`: a training run, from its settings to the folder it leaves.
- `evaluation`: metrics of outputs, validation by decoding, plots.
- `translation`: from text to text with a trained model, and the file that holds it.
- `models`: `Seq2Seq`, its training step, its inference model, ensembles.
- `search`, `layers`, `optimization`, `data`: four siblings that know nothing of each other.
- `text`: tokenizers.
- `system`: checks of arguments, files, the machine, the version.
"""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import lazy_loader
import wrapt

from keras_s2s.system import allocation

_HERE = Path(__file__).parent
# The rooms whose classes stand in saved models, and all of their modules.
_SAVED = ("text", "optimization", "layers", "search", "models", "translation")
_MODULES = [
    ".".join((__name__, *path.relative_to(_HERE).with_suffix("").parts)).removesuffix(".__init__")
    for room in _SAVED
    for path in (_HERE / room).rglob("*.py")
]
# Older names of three rooms; programs import `keep_freed_memory` from the first of them.
_FORMER = {"attention": "layers.attention", "recurrent": "layers.recurrent"}
sys.modules[f"{__name__}.allocation"] = allocation

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        return importlib.import_module(f"{__name__}.{_FORMER[name]}")
    if name in __all__ and name not in ("__version__", "keep_freed_memory"):
        importlib.import_module("keras")  # and with it the classes of saved models: see below
    return _public(name)


def _register(imported: Any = None) -> None:
    """Imports the modules whose classes Keras may have to find in a saved model.

    Keras looks a class up among the registered ones and imports nothing of ours by itself. While a
    module of these rooms is still being imported, the others cannot use it; its own end leads here
    again.

    Args:
        imported: the module whose import led here; it is complete.
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


# With Keras, and TensorFlow behind it, there already, nothing is left to wait for; else it happens
# when Keras is imported, or the module of ours that imports it. So a model can be loaded whatever
# was imported first.
if "keras" in sys.modules:
    _register()
else:
    for _name in ("keras", *_MODULES):
        wrapt.when_imported(_name)(_register)
