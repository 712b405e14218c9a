"""The files that tell a TensorFlow Serving how to serve: batching, models, monitoring.

All are protocol buffers as text. `batching_params.pbtxt` stands in a version's folder and is read
with --enable_per_model_batching_parameters, the other two stand beside the models' folders and are
named on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

BATCHING = "batching_params.pbtxt"
MODELS = "models.config"
MONITORING = "monitoring.config"

BATCH_SIZES = (1, 2, 4, 8, 16, 32)  # a merged batch is filled up to the next of them
ROOT = "/models"  # where the server's container has the exported serving/
LABEL = "stable"
METRICS = "/monitoring/prometheus/metrics"


def batching_parameters() -> str:
    """`batching_params.pbtxt`: requests within 2 ms become one batch of up to 32 sentences.

    Ids of several lengths are padded to one, which the signature `ids` allows: it goes by lengths.
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
    """`models.config`: each model at the version that was exported last, under the label `stable`.

    Args:
        models: names and versions.
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
    """`monitoring.config`: metrics for Prometheus, on the REST port."""
    return f'prometheus_config {{ enable: true path: "{METRICS}" }}\n'


def served_models(serving: Path) -> list[tuple[str, int]]:
    """The models in an exported `serving/` with their highest versions."""
    found = []
    folders = (path for path in serving.iterdir() if path.is_dir() and path.name[0] != ".")
    for folder in sorted(folders):
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
        if versions:
            found.append((folder.name, max(versions)))
    return found


def write_configuration(serving: Path, temporary: Path) -> None:
    """Writes `models.config` and `monitoring.config` for the models that are there.

    Args:
        serving: the exported `serving/`.
        temporary: a folder on the same file system, from where files are renamed into place.
    """
    texts = {MODELS: models_config(served_models(serving)), MONITORING: monitoring_config()}
    for name, text in texts.items():
        (temporary / name).write_text(text, encoding="utf-8")
        os.replace(temporary / name, serving / name)
