"""Writes a model repository for Triton Inference Server: the ONNX model and `config.pbtxt`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from keras_s2s.export.serving.configuration import BATCH_SIZES

CONFIG = "config.pbtxt"
EXTENSIONS = "libortextensions.so"
BACKEND = "onnxruntime"  # Triton's TensorFlow backend ended in 2025


def write_triton(
    model: Path, repository: Path, name: str, version: int, *, extensions: bool
) -> None:
    """Writes `NAME/config.pbtxt` and `NAME/VERSION/model.onnx` of a model repository.

    Args:
        model: file of the text-to-text ONNX model, on the same file system as the repository.
        repository: folder of the repository; it must not exist.
        name: the model's name.
        version: the number of the version.
        extensions: whether the model needs onnxruntime-extensions.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    try:
        os.link(model, folder / "model.onnx")  # the bytes stay on the disk once
    except OSError:  # a file system without hard links
        shutil.copyfile(model, folder / "model.onnx")
    config = triton_config(name, version, extensions=extensions)
    (repository / name / CONFIG).write_text(config, encoding="utf-8")


def triton_config(name: str, version: int, *, extensions: bool) -> str:
    """Returns `config.pbtxt`, which hands the texts [batch, 1] of clients to the graph as [batch].

    Triton returns only the outputs that are named here.
    """
    library = f'model_operations {{ op_library_filename: "{EXTENSIONS}" }}\n' if extensions else ""
    return f"""\
name: "{name}"
backend: "{BACKEND}"
max_batch_size: {BATCH_SIZES[-1]}
input [ {{ name: "text" data_type: TYPE_STRING dims: [ 1 ] reshape {{ shape: [ ] }} }} ]
output [ {{ name: "translation" data_type: TYPE_STRING dims: [ 1 ] reshape {{ shape: [ ] }} }} ]
dynamic_batching {{ max_queue_delay_microseconds: 2000 }}
instance_group [ {{ kind: KIND_CPU }} ]
version_policy {{ specific {{ versions: [ {version} ] }} }}
{library}"""
