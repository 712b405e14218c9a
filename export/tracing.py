"""How graphs are traced for export: without kernels that run on one kind of device alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def without_cudnn(model: keras.Model) -> Iterator[None]:
    """Within it, Keras' own LSTM and GRU layers anywhere in a model keep to plain operations.

    Where TensorFlow sees a GPU, `use_cudnn="auto"` traces them as `CudnnRNNV3`, which no CPU can
    run; the graph would load on the trainer's machine and nowhere else.

    Args:
        model: what is traced; its layers are as they were afterwards.
    """
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in layers]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.use_cudnn = value
