"""A model repository for Triton Inference Server: the ONNX model and its `config.pbtxt`."""

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
    """Writes `NAME/config.pbtxt` and `NAME/VERSION/model.onnx`.

    Args:
        model: the text-to-text ONNX model, on the same file system.
        repository: the folder of the repository; it must not exist.
        name: the model's name.
        version: its number.
        extensions: whether it needs onnxruntime-extensions.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    try:
        os.link(model, folder / "model.onnx")  # the same bytes, kept once
    except OSError:  # a file system without hard links
        shutil.copyfile(model, folder / "model.onnx")
    config = triton_config(name, version, extensions=extensions)
    (repository / name / CONFIG).write_text(config, encoding="utf-8")


def triton_config(name: str, version: int, *, extensions: bool) -> str:
    """`config.pbtxt`: texts [batch, 1] as Triton's clients send them, [batch] in the graph.

    Outputs that are not named are not given.
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
