"""The inference graphs as TensorFlow functions, and how they are traced for export.

Owns what surrounds the search at the boundary: masks from lengths, dtypes, truncation, the end id.
Writing files is the work of `saved_model` and `onnx`.
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
    """Source ids `(B, S)` int32 with the pad id behind the lengths alone.

    Ids that are none of the vocabulary read as the unknown one, the pad id before the end of a row
    too, so that real positions always stand before padding. There is at least one position, and at
    least one row: an LSTM of ONNX Runtime crashes the process on an empty batch (seen in 1.32).
    """
    pad_id, size = translator.model.pad_id, translator.model.source_vocabulary_size
    known = (input_ids >= 0) & (input_ids < size) & (input_ids != pad_id)
    ids = tf.where(known, tf.cast(input_ids, tf.int32), translator.source_tokenizer.unknown_id)
    real = tf.sequence_mask(input_lengths, tf.shape(input_ids)[1])
    ids = _at_least_one(tf.where(real, ids, pad_id), pad_id)
    missing = tf.maximum(1 - tf.shape(ids)[0], 0)
    return tf.pad(ids, [[0, missing], [0, 0]], constant_values=pad_id)


def _at_least_one(source_ids: tf.Tensor, pad_id: int) -> tf.Tensor:
    # An encoder cannot run over no position at all; an empty batch of texts has none.
    missing = tf.maximum(1 - tf.shape(source_ids)[1], 0)
    return tf.pad(source_ids, [[0, 0], [0, missing]], constant_values=pad_id)


def search_ids(
    translator: Translator, search: Search, source_ids: tf.Tensor, *, keep_weights: bool = False
) -> SearchResult:
    """As `translator.inference_model(search)`, but keeps attention weights on request alone.

    Args:
        translator: the model and its special ids.
        search: how to decode.
        source_ids: `(B, S)` int32, padded with the pad id; a source length of 0 counts as one
            position of it.
        keep_weights: whether the result has attention weights. In an exported loop that nobody
            reads them from they would be state for nothing.

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
    """Source ids and lengths to target ids, lengths and scores, as declared by `spec`.

    The mask comes from the lengths alone: servers that pad a batch may pad it with any id. Within
    the lengths an id that is none, padding included, is read as unknown: one bad row must not fail
    the batch that a server merged it into.

    Returns:
        A `tf.function` with one signature, that of `spec`.
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
