"""Writes and reads SavedModels that a stock TensorFlow Serving can load.

Owns the signature's key and the check of the operators. Version folders and their publication are
the work of `publication`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from keras_s2s.export.errors import ExportError
from keras_s2s.export.graphs import TextGraph
from keras_s2s.translator import Translator

SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY

# Operators of TensorFlow Text that every TensorFlow Serving since 2.3 holds; all others came later.
SERVED_TEXT_OPERATORS = {
    "SentencepieceOp",
    "SentencepieceTokenizeOp",
    "SentencepieceDetokenizeOp",
}
# Operators of TensorFlow that a server does not have, or has on some machines only.
NOT_SERVED = ("PyFunc", "EagerPyFunc", "CudnnRNN", "Xla")


def write_saved_model(translator: Translator, folder: Path) -> None:
    """Writes `text` string [batch] → `translation` string [batch] as the signature serving_default.

    Args:
        translator: what to export, with its own search.
        folder: the SavedModel's folder; it must not exist.

    Raises:
        ExportError: If the graph holds an operator that TensorFlow Serving lacks.
    """
    graph = TextGraph(translator)
    tf.saved_model.save(graph, str(folder), signatures={SIGNATURE: graph.serve})
    missing = sorted(name for name in set(_operators(folder)) if not _is_served(name))
    if missing:
        raise ExportError(
            "The SavedModel needs operators that a stock TensorFlow Serving lacks: "
            f"{', '.join(missing)}. Write custom parts with TensorFlow's own operations, without "
            "cuDNN layers or XLA."
        )


def load_saved_model(folder: Path) -> Callable[[Mapping[str, Any]], dict[str, np.ndarray]]:
    """Loads a SavedModel as a server would: the signature serving_default alone.

    Args:
        folder: the SavedModel's folder.

    Returns:
        A function from arrays by input name to arrays by output name; strings are bytes.

    Raises:
        ExportError: If there is no such signature.
    """
    loaded = tf.saved_model.load(str(folder))
    if SIGNATURE not in loaded.signatures:
        raise ExportError(
            f"{folder} must have the signature {SIGNATURE!r}; got {sorted(loaded.signatures)}."
        )
    serve = loaded.signatures[SIGNATURE]

    def run(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        returned = serve(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: tensor.numpy() for name, tensor in returned.items()}

    run.loaded = loaded  # type: ignore[attr-defined]  # it owns the variables and must live as long
    return run


def _operators(folder: Path) -> Iterator[str]:
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        yield from (node.op for node in graph.node)
        for function in graph.library.function:
            yield from (node.op for node in function.node_def)


def _is_served(operator: str) -> bool:
    # `raw_ops` lists TensorFlow's own operators and none of TensorFlow Text's.
    core = hasattr(tf.raw_ops, operator) and not operator.startswith(NOT_SERVED)
    return core or operator in SERVED_TEXT_OPERATORS
