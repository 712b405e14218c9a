"""The ONNX files of an export: which there are, under which names, and how each is proven."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from keras_s2s.export.onnx import ids_model, piece_models, text_model
from keras_s2s.export.onnx_specs import onnx_ids_spec, onnx_text_spec
from keras_s2s.export.parity import Artefact, Origin, onnx_run
from keras_s2s.export.pieces import pieces_of
from keras_s2s.export.spec import IdsSpec, TextSpec
from keras_s2s.search import BeamSearch, GreedySearch, Search
from keras_s2s.translator import Translator

TEXT, IDS = "model.onnx", "model.ids.onnx"
ENCODER, STEP = "encoder.onnx", "decoder_step.onnx"


def write_onnx(translator: Translator, folder: Path, tell: Callable[[str], None]) -> list[Artefact]:
    """Writes the files.

    - `model.onnx`: text to text, and `model.ids.onnx`: ids to ids, both with the translator's own
      search;
    - `greedy.ids.onnx`, `beam.ids.onnx`: with the searches that the own one is not;
    - `encoder.onnx`, `decoder_step.onnx`: for people with a search of their own.

    Args:
        translator: what to export.
        folder: an empty folder.
        tell: is told what is done next.

    Returns:
        What is to be compared with Keras.
    """
    tell("Converting the model to ONNX")
    pieces = pieces_of(translator)
    artefacts = []
    for name, search in searches(translator.search).items():
        tell(f"Writing {name} as ONNX")
        model = ids_model(translator, Path(name).name.removesuffix(".onnx"), search, pieces)
        path = folder / name
        onnx.save(model, path)
        spec = onnx_ids_spec(translator, model.graph.name, search)
        ids = (model.graph.name, search)
        artefacts.append(_artefact(path, spec, ids))
        if name == IDS:
            path = folder / TEXT
            onnx.save(text_model(translator, model), path)
            artefacts.insert(0, _artefact(path, onnx_text_spec(translator)))
    for name, model in zip((ENCODER, STEP), piece_models(translator, pieces), strict=True):
        onnx.save(model, folder / name)
    return [*artefacts, _pair(translator, folder)]


def searches(own: Search) -> dict[str, Search]:
    """File name to search: the own one, and of greedy and beam search the other, or both."""
    found = {IDS: own}
    others = {
        "greedy.ids.onnx": GreedySearch(own.max_length),
        "beam.ids.onnx": BeamSearch(max_length=own.max_length),
    }
    for name, other in others.items():
        if type(own) is not type(other):
            found[name] = other
    return found


def _artefact(
    path: Path, spec: IdsSpec | TextSpec, ids: tuple[str, Search] | None = None
) -> Artefact:
    origin = Origin("ONNX Runtime", f"onnx/{path.name}")
    return Artefact(origin.path, onnx_run(path), ids=ids, origin=origin, spec=spec)


def _pair(translator: Translator, folder: Path) -> Artefact:
    """The pair, looped over by the greedy search of `runner`."""
    run = onnx_run(folder / ENCODER, folder / STEP)
    ids = ("pair", GreedySearch(translator.search.max_length))
    origin = Origin("ONNX Runtime, looped", f"onnx/{ENCODER}", STEP)
    return Artefact(f"onnx/{ENCODER} and {STEP}", run, ids=ids, origin=origin)
