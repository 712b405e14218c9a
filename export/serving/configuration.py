"""Writes the files that tell TensorFlow Serving how to serve: batching, models, monitoring.

All are protocol buffers as text. `batching_params.pbtxt` lies in the folder of a version, and a
server reads it with --enable_per_model_batching_parameters. The other two lie beside the folders of
the models, and the server's command line names them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

BATCHING = "batching_params.pbtxt"
MODELS = "models.config"
MONITORING = "monitoring.config"

BATCH_SIZES = (1, 2, 4, 8, 16, 32)  # a merged batch is filled up to the next larger of these
ROOT = "/models"  # path of the exported serving/ inside the server's container
LABEL = "stable"
METRICS = "/monitoring/prometheus/metrics"


def batching_parameters() -> str:
    """Returns `batching_params.pbtxt`: requests within 2 ms become a batch of up to 32 sentences.

    The server pads ids of several lengths to one length. The signature `ids` allows that, because
    it masks by lengths.
    """
    sizes = "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)
    return f"""\
# Read with --enable_batching and --enable_per_model_batching_parameters.
max_batch_size {{ value: {BATCH_SIZES[-1]} }}
batch_timeout_micros {{ value: 2000 }}
# As many as the server has cores.
num_batch_threads {{ value: 4 }}
max_enqueued_batches {{ value: 100 }}
{sizes}
pad_variable_length_inputs: true
"""


def models_config(models: Sequence[tuple[str, int]]) -> str:
    """Returns `models.config`, which serves each model at its given version, labelled `stable`.

    Args:
        models: names and versions of the models.
    """
    parts = [
        f"""\
  config {{
    name: "{name}"
    base_path: "{ROOT}/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {version} }} }}
    version_labels {{ key: "{LABEL}" value: {version} }}
  }}
"""
        for name, version in models
    ]
    return "model_config_list {\n" + "".join(parts) + "}\n"


def monitoring_config() -> str:
    """Returns `monitoring.config`, which offers metrics for Prometheus on the REST port."""
    return f'prometheus_config {{ enable: true path: "{METRICS}" }}\n'


def served_models(serving: Path) -> list[tuple[str, int]]:
    """Returns the models in an exported `serving/` with their highest versions."""
    models = []
    folders = (path for path in serving.iterdir() if path.is_dir() and path.name[0] != ".")
    for folder in sorted(folders):
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
        if versions:
            models.append((folder.name, max(versions)))
    return models


def write_configuration(serving: Path, temporary: Path) -> None:
    """Writes `models.config` and `monitoring.config` for the models in an exported `serving/`.

    Args:
        serving: the exported `serving/`.
        temporary: a folder on the same file system, from which files are renamed into place.
    """
    texts = {MODELS: models_config(served_models(serving)), MONITORING: monitoring_config()}
    for name, text in texts.items():
        (temporary / name).write_text(text, encoding="utf-8")
        os.replace(temporary / name, serving / name)
