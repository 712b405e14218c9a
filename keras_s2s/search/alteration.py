"""A search with some settings changed, as commands and programs ask for them by name."""

from __future__ import annotations

import inspect
from typing import Any

from keras_s2s.search.beam import BeamSearch
from keras_s2s.search.diverse import DiverseBeamSearch
from keras_s2s.search.greedy import GreedySearch
from keras_s2s.search.sampling import SamplingSearch
from keras_s2s.search.search import Search

KINDS: tuple[type[Search], ...] = (GreedySearch, BeamSearch, DiverseBeamSearch, SamplingSearch)


def altered(search: Search, changes: dict[str, Any]) -> Search:
    """A search with `changes`: of the same kind, or else of the first that has them all.

    What the new kind shares with the old keeps its value.

    Args:
        search: where the other settings come from.
        changes: settings by name. A `width` of 1 leaves greedy search what it is.

    Raises:
        ValueError: no kind of search has all of them.
    """
    ones = {name: changes.get(name, 1) for name in ("width", "n_best")}
    if isinstance(search, GreedySearch) and set(ones.values()) == {1}:
        changes = {k: v for k, v in changes.items() if k not in ones}
    kinds = [type(search), *KINDS]
    kind = next((kind for kind in kinds if set(changes) <= set(settings_of(kind))), None)
    if kind is None:
        raise ValueError(
            f"No search has all of {', '.join(sorted(changes))}. The settings are: "
            + "; ".join(f"{kind.__name__} {', '.join(settings_of(kind))}" for kind in KINDS)
            + "."
        )
    shared = set(settings_of(kind)) & set(settings_of(type(search)))
    return kind(**{**{name: getattr(search, name) for name in shared}, **changes})


def settings_of(kind: type[Search]) -> list[str]:
    """Names of the arguments that a class of searches takes, those of its bases included."""
    names: list[str] = []
    for base in kind.__mro__:
        own = vars(base).get("__init__")
        if own is None or not issubclass(base, Search):
            continue
        parameters = list(inspect.signature(own).parameters.values())[1:]
        named = (x.name for x in parameters if x.kind is not x.VAR_KEYWORD)
        names += [name for name in named if name not in names]
        if not any(x.kind is x.VAR_KEYWORD for x in parameters):
            break  # nothing is handed on to the base
    return names
