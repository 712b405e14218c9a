"""The inference graphs as TensorFlow functions, and how they are traced for export.

This module prepares the inputs of a search. It makes masks from lengths, converts dtypes, and adds
the row and the position that a graph cannot do without. The rooms `saved_model` and `onnx` write
the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_s2s.export.specs.spec import IdsSpec
from keras_s2s.search import Search, SearchResult
from keras_s2s.translation.translator import Translator


def masked_ids(translator: Translator, input_ids: tf.Tensor, input_lengths: tf.Tensor) -> tf.Tensor:
    """Returns source ids in which the pad id stands behind each row's length and nowhere else.

    Ids outside the vocabulary become the unknown id. So does the pad id before the end of a row, so
    that real positions always stand before padding. The result has at least one position and at
    least one row: an LSTM of ONNX Runtime crashes the process on an empty batch (seen in 1.32).

    Args:
        translator: the model and its special ids.
        input_ids: `(B, S)`, int32 or int64.
        input_lengths: `(B,)`, int32 or int64, the number of ids of each row.

    Returns:
        `(max(B, 1), max(S, 1))`, int32.
    """
    pad_id, size = translator.model.pad_id, translator.model.source_vocabulary_size
    is_token = (input_ids >= 0) & (input_ids < size) & (input_ids != pad_id)
    ids = tf.where(is_token, tf.cast(input_ids, tf.int32), translator.source_tokenizer.unknown_id)
    real = tf.sequence_mask(input_lengths, tf.shape(input_ids)[1])
    ids = _at_least_one(tf.where(real, ids, pad_id), pad_id)
    missing_rows = tf.maximum(1 - tf.shape(ids)[0], 0)
    return tf.pad(ids, [[0, missing_rows], [0, 0]], constant_values=pad_id)


def _at_least_one(source_ids: tf.Tensor, pad_id: int) -> tf.Tensor:
    # An encoder needs at least one position, and an empty batch of texts has none.
    missing_positions = tf.maximum(1 - tf.shape(source_ids)[1], 0)
    return tf.pad(source_ids, [[0, 0], [0, missing_positions]], constant_values=pad_id)


def search_ids(
    translator: Translator, search: Search, source_ids: tf.Tensor, *, keep_weights: bool = False
) -> SearchResult:
    """Decodes as `translator.inference_model(search)` does, with attention weights only on request.

    Args:
        translator: the model and its special ids.
        search: the search that decodes.
        source_ids: `(B, S)` int32, padded with the pad id. A source of length 0 is read as one pad
            id.
        keep_weights: whether the result has attention weights. An exported loop whose weights
            nobody reads would carry them as useless state.

    Returns:
        A `SearchResult`; without `keep_weights` its weights are None.
    """
    model, target = translator.model, translator.target_tokenizer
    pad_id = model.pad_id
    source_ids = _at_least_one(source_ids, pad_id)
    memory, state = model.encode(source_ids)
    return search(
        lambda tokens, state: model.step(tokens, state, memory),
        state,
        batch_size=tf.shape(source_ids)[0],
        source_mask=tf.not_equal(source_ids, pad_id),
        keep_weights=keep_weights,
        start_id=target.start_id,
        end_id=target.end_id,
        pad_id=pad_id,
        unknown_id=target.unknown_id,
    )


def ids_function(translator: Translator, search: Search, spec: IdsSpec) -> Any:
    """Returns the function from source ids and lengths to target ids, lengths and scores.

    The mask comes from the lengths alone, because a server may pad a batch with any id. Within the
    lengths, the pad id and ids outside the vocabulary are read as unknown, because one bad row must
    not fail the batch that a server merged it into.

    Args:
        translator: the model and its special ids.
        search: the search that decodes.
        spec: the declaration of the function's inputs and outputs.

    Returns:
        A `tf.function` with one signature, which is that of `spec`.
    """
    dtype = tf.as_dtype(spec.dtype)

    def run(input_ids: tf.Tensor, input_lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        result = search_ids(translator, search, masked_ids(translator, input_ids, input_lengths))
        rows = tf.shape(input_ids)[0]
        return {
            "output_ids": tf.cast(result.ids, dtype)[:rows],
            "output_lengths": tf.cast(result.lengths, dtype)[:rows],
            "scores": result.scores[:rows],
        }

    return tf.function(run, input_signature=spec.signature(), autograph=False)


@contextmanager
def without_cudnn(model: keras.Model) -> Iterator[None]:
    """Keeps Keras' own LSTM and GRU layers of a model to plain operations while it is traced.

    Where TensorFlow sees a GPU, `use_cudnn="auto"` traces such a layer as `CudnnRNNV3`, which no
    CPU can run. The graph would load on the trainer's machine and nowhere else.

    Args:
        model: the model to trace. Its layers are restored afterwards.
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
