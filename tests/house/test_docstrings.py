"""Examples in docstrings run as they say, and every public modelling name has one."""

import doctest
import importlib
import inspect
from pathlib import Path
from unittest import mock

import pytest

import keras_s2s
import keras_s2s.export
from keras_s2s.layers.attention import SCORES
from keras_s2s.layers.recurrent import CELLS
from keras_s2s.search import PENALTIES

# In a checkout, `keras_s2s.export` lies beside `keras_s2s` and not inside it.
FOLDERS = {
    package.__name__: Path(package.__file__).parent for package in (keras_s2s, keras_s2s.export)
}
WITH_EXAMPLES = [
    ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
    for package, folder in FOLDERS.items()
    for path in sorted(folder.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


def room_of(public):
    """Returns the room of a public name: `layers` for `keras_s2s.layers.encoder.Encoder`.

    A plain string, such as the version, is in no room.
    """
    return getattr(public, "__module__", "keras_s2s.").split(".")[1]


MODELLING = {"layers", "models", "optimization", "search"}
# Plain records, and base classes that only say what a subclass has to define.
WITHOUT_EXAMPLES = {
    *("Encoded", "Memory", "Probability", "SearchResult", "Search", "TFAResult"),
}


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_say(module):
    # An example may use every public name, as after `from keras_s2s import *`.
    public = {name: getattr(keras_s2s, name) for name in keras_s2s.__all__}
    tested = importlib.import_module(module)
    # A class that an example registers under a name is forgotten when the example ends.
    with mock.patch.dict(CELLS), mock.patch.dict(PENALTIES), mock.patch.dict(SCORES):
        result = doctest.testmod(tested, extraglobs=public, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in keras_s2s.__all__
        if room_of(getattr(keras_s2s, name)) in MODELLING and name not in WITHOUT_EXAMPLES
    ],
)
def test_public_modelling_names_have_an_example(name):
    assert ">>>" in (inspect.getdoc(getattr(keras_s2s, name)) or "")


@pytest.mark.parametrize("name", [name for name in keras_s2s.__all__ if name != "__version__"])
def test_public_names_are_documented(name):
    documented = getattr(keras_s2s, name)
    assert documented.__module__.startswith("keras_s2s.")
    assert inspect.getdoc(documented)
