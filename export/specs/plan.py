"""The plan of an export: what it will hold, decided once.

It is made when the preconditions hold, and handed to whoever writes, compares or describes: none of
them asks the translator again what a graph declares or how it searches.
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
    """An ONNX model from ids to ids.

    Attributes:
        spec: its declaration.
        search: the search inside.
    """

    spec: IdsSpec
    search: Search


class OnnxPlan(NamedTuple):
    """The ONNX models that have a search inside.

    Attributes:
        text: the declaration of the model from text to text, which has the translator's own search.
        ids: the models from ids to ids by file name, that with the translator's own search first.
    """

    text: TextSpec
    ids: Mapping[str, IdsGraph]


@dataclass(frozen=True)
class ExportPlan:
    """What an export will hold.

    Attributes:
        translator: what is exported.
        beam: the search of the signature `beam`.
        server: the oldest TensorFlow Serving that is to load the SavedModel.
        name: the model's name.
        version: number of this version of it.
        formats: what is made of it: 'serving', 'onnx', 'triton'.
        onnx: the ONNX models; None where there are none.
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
        """Where the SavedModel goes below the output folder, as TensorFlow Serving wants it."""
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
        """The declaration of a graph from text to text, which all that is exported can do."""
        return spec_of_text(self.translator)
