"""Writes and loads SavedModels that a stock TensorFlow Serving can load.

`version` writes the folder around a SavedModel, `serving` writes the files beside that folder, and
`publication` moves them into place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model.graphs import ServedGraph
from keras_s2s.export.serving.registry import check_operators
from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.signatures import TEXT
from keras_s2s.export.tracing import without_cudnn

Run = Callable[[Mapping[str, Any]], dict[str, np.ndarray]]


def write_saved_model(plan: ExportPlan, folder: Path) -> None:
    """Writes a SavedModel with the signatures that the plan declares.

    Args:
        plan: the plan of the export, with the translator and the oldest server.
        folder: the SavedModel's folder; it must not exist.

    Raises:
        ExportError: If the graph holds an operator, or an attribute of one, that the server lacks.
        ValueError: If the operators of that server are unknown.
    """
    graph = ServedGraph(plan)
    with without_cudnn(plan.translator.model):
        tf.saved_model.save(graph, str(folder), signatures=graph.functions)
    check_operators(folder, plan.server)


class LoadedModel:
    """A SavedModel in this process's TensorFlow, loaded when a signature first runs.

    Args:
        folder: the SavedModel's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: Any = None

    def signature(self, name: str = TEXT) -> Run:
        """Returns a function from arrays by input name to arrays by output name; strings are bytes.

        Raises:
            ExportError: If the SavedModel has no such signature.
        """
        if self._loaded is None:
            self._loaded = tf.saved_model.load(str(self.folder))
        signatures = self._loaded.signatures
        if name not in signatures:
            raise ExportError(
                f"{self.folder} must have the signature {name!r}; got {sorted(signatures)}."
            )

        def run(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
            tensors = {key: tf.constant(value) for key, value in inputs.items()}
            # This function keeps `self` alive, and with it the variables of the loaded model.
            returned = self._loaded.signatures[name](**tensors)
            return {key: tensor.numpy() for key, tensor in returned.items()}

        return run
