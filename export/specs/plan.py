"""The plan of an export, which decides once which graphs the export will hold.

The plan is made as soon as the preconditions hold. The functions that write, compare and describe
the export all receive it, so that none of them has to ask the translator again what a graph
declares or how it searches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

from keras_s2s.export.specs.signatures import IDS, signature_specs, spec_of_text
from keras_s2s.export.specs.spec import GraphSpec, IdsSpec, TextSpec
from keras_s2s.search import Search
from keras_s2s.translation.translator import Translator


class IdsGraph(NamedTuple):
    """A planned ONNX model from source ids to target ids.

    Attributes:
        spec: the declaration of the model.
        search: the search inside the model.
    """

    spec: IdsSpec
    search: Search


class OnnxPlan(NamedTuple):
    """The planned ONNX models that have a search inside.

    Attributes:
        text: the declaration of the model from text to text, which has the translator's own search.
        ids: the models from ids to ids by file name; the one with the translator's own search comes
            first.
    """

    text: TextSpec
    ids: Mapping[str, IdsGraph]


@dataclass(frozen=True)
class ExportPlan:
    """Everything that an export will hold.

    Attributes:
        translator: the translator to export.
        beam: the search of the signature `beam`.
        server: the oldest version of TensorFlow Serving that must load the SavedModel.
        name: the model's name.
        version: the number of this version of the model.
        formats: the formats to write: 'serving', 'onnx', 'triton'.
        onnx: the ONNX models; None when the format 'onnx' is not exported.
    """

    translator: Translator
    beam: Search
    server: str
    name: str
    version: int
    formats: tuple[str, ...]
    onnx: OnnxPlan | None = None

    @property
    def path(self) -> str:
        """The SavedModel's path below the output folder, as TensorFlow Serving expects it."""
        return f"serving/{self.name}/{self.version}"

    @cached_property
    def signatures(self) -> dict[str, GraphSpec]:
        """The declaration of every signature of the SavedModel, by name."""
        return signature_specs(self.translator, self.beam)

    @property
    def ids(self) -> IdsSpec:
        """The declaration of the signature from ids to ids."""
        return cast(IdsSpec, self.signatures[IDS])

    @cached_property
    def text(self) -> TextSpec:
        """The declaration of a graph from text to text, a task that every format can do."""
        return spec_of_text(self.translator)
