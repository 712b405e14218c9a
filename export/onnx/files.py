"""Writes the ONNX files of an export, and returns each as an artefact to compare with Keras."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from keras_s2s.export.errors import ExportError
from keras_s2s.export.onnx.loops.search import is_composed
from keras_s2s.export.onnx.models import ids_model, part_models, text_model
from keras_s2s.export.onnx.parts import ModelParts, model_parts
from keras_s2s.export.onnx.quantization import quantized
from keras_s2s.export.onnx.specs import ids_graph, onnx_text_spec
from keras_s2s.export.runtimes.artefacts import Artefact, Origin, onnx_run
from keras_s2s.export.specs.plan import OnnxPlan
from keras_s2s.export.specs.spec import IdsSpec, TextSpec
from keras_s2s.search import BeamSearch, GreedySearch, Search
from keras_s2s.translation.translator import Translator

TEXT, IDS = "model.onnx", "model.ids.onnx"
ENCODER, STEP = "encoder.onnx", "decoder_step.onnx"
INT8 = ".int8"  # stands before ".onnx" in the names of 8-bit models


def onnx_plan(translator: Translator) -> OnnxPlan:
    """Plans the models that have a search inside: the translator's own, greedy and beam search.

    - `model.onnx` goes from text to text and `model.ids.onnx` from ids to ids, both with the
      translator's own search;
    - `greedy.ids.onnx` and `beam.ids.onnx` go from ids to ids; the one whose kind of search is the
      translator's own is left out.
    """
    default = translator.search
    others = {
        "greedy.ids.onnx": GreedySearch(default.max_length),
        "beam.ids.onnx": BeamSearch(max_length=default.max_length),
    }
    searches = {IDS: default}
    searches |= {name: other for name, other in others.items() if type(default) is not type(other)}
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
    """Writes the ONNX files of an export.

    The files are:

    - the models of the plan;
    - `encoder.onnx` and `decoder_step.onnx`, for people with a search of their own;
    - with `int8`, each of these in 8 bits, as `*.int8.onnx`.

    Args:
        translator: the translator to export.
        plan: the models with a search inside, as `onnx_plan` makes them.
        folder: an empty folder.
        tell: a function that is called with a line of progress before each stage.
        int8: whether to write 8-bit models as well.
        origin: further metadata for every file about where it comes from, as JSON types.

    Returns:
        The artefacts whose outputs must equal those of Keras, which are all but the 8-bit models.

    Raises:
        ExportError: If something in the model or the search has no ONNX form, or if `int8` is set
            and the translator's search is one that is converted whole, which cannot be quantised.
    """
    tell("Converting the model to ONNX")
    parts = model_parts(translator)
    files = _Files(folder, origin or {})
    artefacts = _write(translator, plan, files, parts)
    if int8:
        _check_int8(translator.search)
        tell("Quantising")
        _write(translator, plan, replace(files, mark=INT8), quantized(parts))
    return artefacts


def write_int8(translator: Translator, path: Path) -> None:
    """Writes the 8-bit text-to-text model alone, without comparing it, so that it can be scored.

    Raises:
        ExportError: If something in the model or the search has no ONNX form, or if the
            translator's search is one that is converted whole, which cannot be quantised.
    """
    _check_int8(translator.search)
    plan = onnx_plan(translator)
    ids = ids_model(translator, plan.ids[IDS], quantized(model_parts(translator)))
    onnx.save(text_model(translator, plan.text, ids), path)


def _check_int8(search: Search) -> None:
    if not is_composed(search):
        raise ExportError(
            "8-bit models need greedy or beam search without further controls; the translator's "
            f"search is {type(search).__name__} with settings that are converted whole. Export "
            "without int8, or with another search."
        )


@dataclass(frozen=True)
class _Files:
    """The folder that files go to, and the metadata that all of them hold."""

    folder: Path
    origin: Mapping[str, Any]
    mark: str = ""

    def save(self, model: onnx.ModelProto, name: str) -> Path:
        for key, value in self.origin.items():
            model.metadata_props.add(key=key, value=json.dumps(value, sort_keys=True))
        path = self.folder / name.replace(".onnx", f"{self.mark}.onnx")
        onnx.save(model, path)
        return path


def _write(
    translator: Translator, plan: OnnxPlan, files: _Files, parts: ModelParts
) -> list[Artefact]:
    artefacts = []
    for name, graph in plan.ids.items():
        model = ids_model(translator, graph, parts)
        if name == IDS:
            path = files.save(text_model(translator, plan.text, model), TEXT)
            artefacts.append(_artefact(path, plan.text))
        ids = (graph.spec.name, graph.search)
        artefacts.append(_artefact(files.save(model, name), graph.spec, ids))
    for name, model in zip((ENCODER, STEP), part_models(translator, parts), strict=True):
        files.save(model, name)
    return [*artefacts, _pair(translator, files.folder)]


def _artefact(
    path: Path, spec: IdsSpec | TextSpec, ids: tuple[str, Search] | None = None
) -> Artefact:
    origin = Origin("ONNX Runtime", f"onnx/{path.name}")
    return Artefact(origin.path, onnx_run(path), ids=ids, origin=origin, spec=spec)


def _pair(translator: Translator, folder: Path) -> Artefact:
    """Encoder and step as one artefact, which the greedy search of `runner` loops over."""
    run = onnx_run(folder / ENCODER, folder / STEP)
    ids = ("pair", GreedySearch(translator.search.max_length))
    origin = Origin("ONNX Runtime, looped", f"onnx/{ENCODER}", STEP)
    return Artefact(f"onnx/{ENCODER} and {STEP}", run, ids=ids, origin=origin)
