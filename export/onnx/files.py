"""The ONNX files of an export: which there are, under which names, and how each is proven."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from keras_s2s.export.errors import ExportError
from keras_s2s.export.onnx.loops.search import is_composed
from keras_s2s.export.onnx.models import ids_model, piece_models, text_model
from keras_s2s.export.onnx.parts import Pieces, pieces_of
from keras_s2s.export.onnx.quantization import quantized
from keras_s2s.export.onnx.specs import ids_graph, onnx_text_spec
from keras_s2s.export.runtimes.artefacts import Artefact, Origin, onnx_run
from keras_s2s.export.specs.plan import OnnxPlan
from keras_s2s.export.specs.spec import IdsSpec, TextSpec
from keras_s2s.search import BeamSearch, GreedySearch, Search
from keras_s2s.translation.translator import Translator

TEXT, IDS = "model.onnx", "model.ids.onnx"
ENCODER, STEP = "encoder.onnx", "decoder_step.onnx"
INT8 = ".int8"  # stands before ".onnx"


def onnx_plan(translator: Translator) -> OnnxPlan:
    """The models with a search inside that an export has: the own one, greedy and beam search.

    - `model.onnx`: text to text, and `model.ids.onnx`: ids to ids, both with the translator's own
      search;
    - `greedy.ids.onnx`, `beam.ids.onnx`: with the searches that the own one is not.
    """
    own = translator.search
    others = {
        "greedy.ids.onnx": GreedySearch(own.max_length),
        "beam.ids.onnx": BeamSearch(max_length=own.max_length),
    }
    searches = {IDS: own}
    searches |= {name: other for name, other in others.items() if type(own) is not type(other)}
    ids = {
        name: ids_graph(translator, name.removesuffix(".onnx"), search)
        for name, search in searches.items()
    }
    return OnnxPlan(onnx_text_spec(translator), ids)


def write_onnx(
    translator: Translator,
    plan: OnnxPlan,
    folder: Path,
    tell: Callable[[str], None],
    *,
    int8: bool = False,
    origin: Mapping[str, Any] | None = None,
) -> list[Artefact]:
    """Writes the files.

    - those of the plan;
    - `encoder.onnx`, `decoder_step.onnx`: for people with a search of their own;
    - with `int8`, each of these in 8 bits, as `*.int8.onnx`.

    Args:
        translator: what to export.
        plan: the models with a search inside; see `onnx_plan`.
        folder: an empty folder.
        tell: is told what is done next.
        int8: whether to quantise as well.
        origin: what else the files are to say of where they come from, as JSON types.

    Returns:
        What is to be equal to Keras: all but int8.

    Raises:
        ExportError: If something has no ONNX form, or if the translator's search is one that is
            converted whole, which int8 does not reach.
    """
    tell("Converting the model to ONNX")
    pieces = pieces_of(translator)
    files = _Files(folder, origin or {})
    artefacts = _write(translator, plan, files, pieces)
    if int8:
        _check_int8(translator.search)
        tell("Quantising")
        _write(translator, plan, replace(files, mark=INT8), quantized(pieces))
    return artefacts


def write_int8(translator: Translator, path: Path) -> None:
    """Writes the text-to-text model in 8 bits alone, unproven: to score it, not to serve it.

    Raises:
        ExportError: as `write_onnx`.
    """
    _check_int8(translator.search)
    plan = onnx_plan(translator)
    ids = ids_model(translator, plan.ids[IDS], quantized(pieces_of(translator)))
    onnx.save(text_model(translator, plan.text, ids), path)


def _check_int8(search: Search) -> None:
    if not is_composed(search):
        raise ExportError(
            "8 bits reach greedy and beam search without further controls; the translator's "
            f"search is {type(search).__name__} with settings that are converted whole. Export "
            "without int8, or with another search."
        )


@dataclass(frozen=True)
class _Files:
    """Where files go, and what all of them say."""

    folder: Path
    origin: Mapping[str, Any]
    mark: str = ""

    def save(self, model: onnx.ModelProto, name: str) -> Path:
        for key, value in self.origin.items():
            model.metadata_props.add(key=key, value=json.dumps(value, sort_keys=True))
        path = self.folder / name.replace(".onnx", f"{self.mark}.onnx")
        onnx.save(model, path)
        return path


def _write(translator: Translator, plan: OnnxPlan, files: _Files, pieces: Pieces) -> list[Artefact]:
    artefacts = []
    for name, graph in plan.ids.items():
        model = ids_model(translator, graph, pieces)
        if name == IDS:
            path = files.save(text_model(translator, plan.text, model), TEXT)
            artefacts.append(_artefact(path, plan.text))
        ids = (graph.spec.name, graph.search)
        artefacts.append(_artefact(files.save(model, name), graph.spec, ids))
    for name, model in zip((ENCODER, STEP), piece_models(translator, pieces), strict=True):
        files.save(model, name)
    return [*artefacts, _pair(translator, files.folder)]


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
