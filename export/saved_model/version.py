"""Writes the folder of one version: SavedModel, batching parameters, warm-up requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_s2s.export.errors import ExportError
from keras_s2s.export.saved_model.files import write_saved_model
from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.configuration import BATCH_SIZES, BATCHING, batching_parameters
from keras_s2s.export.serving.process import Servable
from keras_s2s.export.serving.warmup import Request, read_warmup, write_warmup
from keras_s2s.export.specs.arrays import as_bytes
from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.spec import GraphSpec

SHORT = 1  # source length of the short warm-up requests, which hold the end id alone


def write_version(plan: ExportPlan, folder: Path) -> None:
    """Writes the folder of a version, ready to be served.

    Args:
        plan: the plan of the export, with the translator and the oldest server.
        folder: the folder of the version, whose name is the version's number and whose parent has
            the name of the model.

    Raises:
        ExportError: If the graph holds an operator, or an attribute of one, that the server lacks.
    """
    write_saved_model(plan, folder)
    (folder / BATCHING).write_text(batching_parameters(), encoding="utf-8")
    requests = warmup_requests(plan.signatures, plan.translator.max_source_length)
    write_warmup(folder, plan.name, requests)


def warmup_requests(specs: Mapping[str, GraphSpec], longest: int) -> list[Request]:
    """Returns warm-up requests for every signature.

    Each signature gets batches of one and of the largest size, of short and of long sources.

    Args:
        specs: the declarations of the signatures, by name.
        longest: source length of the long requests, in ids.
    """
    return [
        Request(name, _bytes(spec.sample(batch, length, seed=0)))
        for name, spec in specs.items()
        for batch in (1, BATCH_SIZES[-1])
        for length in (SHORT, longest)
    ]


def replay_warmup(session: Servable, folder: Path) -> int:
    """Runs the warm-up requests of a version as a server does before the model is available.

    Returns:
        The number of requests.

    Raises:
        ExportError: If a request fails, because a server would then not load the model.
    """
    requests = read_warmup(folder)
    for number, request in enumerate(requests, 1):
        if request.signature not in session.signatures:
            raise ExportError(
                f"Warm-up request {number} must be for one of the signatures "
                f"{sorted(session.signatures)}; got {request.signature!r}."
            )
        try:
            session.run(request.signature, request.inputs)
        except StatusError as error:
            raise ExportError(
                f"Warm-up request {number} ({request.signature}) failed: {error}"
            ) from error
    return len(requests)


def _bytes(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: as_bytes(array.tolist()) if array.dtype == object else array
        for name, array in arrays.items()
    }
