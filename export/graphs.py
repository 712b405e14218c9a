"""The inference graphs as TensorFlow functions with the signatures of their specs.

Owns what surrounds the search at the boundary: masks from lengths, dtypes, truncation, the end id.
Writing files is the work of `saved_model` and `onnx`.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_s2s.export.spec import IdsSpec, TextSpec, ids_spec, text_spec
from keras_s2s.search import Search, SearchResult
from keras_s2s.translator import Translator


def spec_of_ids(translator: Translator, name: str, search: Search) -> IdsSpec:
    """The declaration of `ids_function` for a translator and a search."""
    return ids_spec(
        name,
        translator.source_tokenizer,
        n_best=search.n_best,
        max_length=search.max_length,
    )


def spec_of_text(translator: Translator) -> TextSpec:
    """The declaration of `TextGraph` for a translator."""
    return text_spec("text", translator.source_tokenizer)


def masked_ids(translator: Translator, input_ids: tf.Tensor, input_lengths: tf.Tensor) -> tf.Tensor:
    """Source ids `(B, S)` int32 with the pad id behind the lengths alone.

    A pad id before that is no token; it reads as the unknown one, so that real positions always
    stand before padding. There is at least one position, and at least one row: an LSTM of ONNX
    Runtime crashes the process on an empty batch (seen in 1.32).
    """
    pad_id, unknown_id = translator.model.pad_id, translator.source_tokenizer.unknown_id
    ids = tf.cast(input_ids, tf.int32)
    ids = tf.where(tf.equal(ids, pad_id), unknown_id, ids)
    real = tf.sequence_mask(input_lengths, tf.shape(input_ids)[1])
    ids = _at_least_one(tf.where(real, ids, pad_id), pad_id)
    missing = tf.maximum(1 - tf.shape(ids)[0], 0)
    return tf.pad(ids, [[0, missing], [0, 0]], constant_values=pad_id)


def _at_least_one(source_ids: tf.Tensor, pad_id: int) -> tf.Tensor:
    # An encoder cannot run over no position at all; an empty batch of texts has none.
    missing = tf.maximum(1 - tf.shape(source_ids)[1], 0)
    return tf.pad(source_ids, [[0, 0], [0, missing]], constant_values=pad_id)


def search_ids(translator: Translator, search: Search, source_ids: tf.Tensor) -> SearchResult:
    """As `translator.inference_model(search)`, but without keeping attention weights.

    Args:
        translator: the model and its special ids.
        search: how to decode.
        source_ids: `(B, S)` int32, padded with the pad id; a source length of 0 counts as one
            position of it.

    Returns:
        A `SearchResult` whose weights are None. In an exported loop they would be state that nobody
        reads.
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
        keep_weights=False,
        start_id=target.start_id,
        end_id=target.end_id,
        pad_id=pad_id,
        unknown_id=target.unknown_id,
    )


def ids_function(translator: Translator, search: Search, spec: IdsSpec) -> Any:
    """Source ids and lengths to target ids, lengths and scores, as declared by `spec`.

    The mask comes from the lengths alone: servers that pad a batch may pad it with any id.

    Returns:
        A `tf.function` with one signature, that of `spec`.
    """

    def run(input_ids: tf.Tensor, input_lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        result = search_ids(translator, search, masked_ids(translator, input_ids, input_lengths))
        rows = tf.shape(input_ids)[0]
        return {
            "output_ids": tf.cast(result.ids, tf.int64)[:rows],
            "output_lengths": tf.cast(result.lengths, tf.int64)[:rows],
            "scores": result.scores[:rows],
        }

    return tf.function(run, input_signature=spec.signature(), autograph=False)


class TextGraph(tf.Module):
    """Text to the best target text, with the translator's own search: what a SavedModel serves.

    1. Tokens; the tokenizer repairs invalid UTF-8, so that one bad text does not fail the batch
       that a server merged it into.
    2. Cut to `max_source_length − 1`, then the end id, then padding to the longest row.
    3. Search; the ids of the best hypothesis become text.

    Args:
        translator: what to export. Its variables and the tables of its tokenizers become this
            module's.
    """

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.source = translator.source_tokenizer.module()
        self.target = translator.target_tokenizer.module()
        # Keras models are no part of a plain SavedModel; their variables have to be.
        self.weights = list(translator.model.variables)
        room = translator.max_source_length - 1
        end_id = translator.source_tokenizer.end_id
        pad_id = translator.model.pad_id

        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            tokens = self.source.encode(text)[:, :room]
            ends = tf.fill([tf.shape(text)[0], 1], end_id)
            source_ids = tf.concat([tokens, ends], axis=1).to_tensor(pad_id)
            result = search_ids(translator, translator.search, source_ids)
            return {"translation": self.target.decode(result.ids[:, 0])}

        signature = spec_of_text(translator).signature()
        self.serve = tf.function(serve, input_signature=signature, autograph=False)
