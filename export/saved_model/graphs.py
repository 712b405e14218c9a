"""Builds the four signatures of a SavedModel as TensorFlow functions of one module."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.signatures import (
    ALIGNMENTS,
    BEAM,
    IDS,
    LOWEST,
    TEXT,
)
from keras_s2s.export.tracing import ids_function, search_ids
from keras_s2s.search import Search
from keras_s2s.text import Tokenizer
from keras_s2s.translation.translator import Translator

Outputs = dict[str, tf.Tensor]


class ServedGraph(tf.Module):
    """A module with the signatures of a plan: the translator's own search and a beam search.

    A signature that takes text works as follows:

    1. It splits text into tokens. The tokenizer repairs invalid UTF-8, so that one bad text does
       not fail the batch that a server merged it into.
    2. It cuts each row to `max_source_length − 1` ids, adds the end id, and pads to the longest
       row. So a row has at least one position, whatever the text.
    3. It searches, and turns ids back into text.

    Args:
        plan: the plan of the export. The translator's variables and the tables of its tokenizers
            become variables and tables of this module.

    Attributes:
        functions: a `tf.function` for each name of a signature.
    """

    def __init__(self, plan: ExportPlan) -> None:
        super().__init__()
        translator, specs = plan.translator, plan.signatures
        self._untracked = _Untracked(translator)
        self.source = translator.source_tokenizer.module()
        self.target = translator.target_tokenizer.module()
        # A plain SavedModel does not track Keras models, so their variables are attributes here.
        # They must be TensorFlow's own variables. TensorFlow would save copies of Keras' variables
        # under other names, and restore the copies. In a server, the variables that the graph reads
        # would then have no values, although everything works in Python.
        self.weights = [variable.value for variable in translator.model.variables]
        ids_to_ids = ids_function(translator, translator.search, plan.ids)
        bodies: dict[str, Callable[..., Outputs]] = {
            TEXT: self._translation,
            BEAM: lambda text: self._beam(plan.beam, text),
            IDS: lambda input_ids, input_lengths: _finite(ids_to_ids(input_ids, input_lengths)),
            ALIGNMENTS: self._alignments,
        }
        self.functions = {
            name: tf.function(function, input_signature=specs[name].signature(), autograph=False)
            for name, function in bodies.items()
        }

    def _source_ids(self, text: tf.Tensor) -> tf.Tensor:
        translator = self._untracked.translator
        # A server checks no shapes, so the graph itself must refuse [["a"]].
        text = tf.ensure_shape(text, [None])
        tokens = self.source.encode(text)[:, : translator.max_source_length - 1]
        ends = tf.fill([tf.shape(text)[0], 1], translator.source_tokenizer.end_id)
        return tf.concat([tokens, ends], axis=1).to_tensor(translator.model.pad_id)  # (B, S)

    def _translation(self, text: tf.Tensor) -> Outputs:
        translator = self._untracked.translator
        result = search_ids(translator, translator.search, self._source_ids(text))
        return {"translation": self.target.decode(result.ids[:, 0])}

    def _beam(self, beam: Search, text: tf.Tensor) -> Outputs:
        result = search_ids(self._untracked.translator, beam, self._source_ids(text))
        rows = tf.reshape(result.ids, [-1, beam.max_length])  # (B·K, L)
        translations = tf.reshape(self.target.decode(rows), tf.shape(result.scores))  # (B, K)
        return _finite(
            {
                "translations": translations,
                "scores": result.scores,
                "lengths": result.lengths,
            }
        )

    def _alignments(self, text: tf.Tensor) -> Outputs:
        translator = self._untracked.translator
        source_ids = self._source_ids(text)
        result = search_ids(translator, translator.search, source_ids, keep_weights=True)
        ids = result.ids[:, 0]  # (B, L)
        real = tf.sequence_mask(result.lengths[:, 0], translator.search.max_length)
        return {
            "translation": self.target.decode(ids),
            "tokens": _pieces(translator.target_tokenizer, ids, real),
            "weights": result.weights[:, 0, :, : tf.shape(source_ids)[1]],  # (B, L, S)
            "source_tokens": _pieces(
                translator.source_tokenizer, source_ids, source_ids != translator.model.pad_id
            ),
        }


class _Untracked:
    """Holds a translator as an attribute that TensorFlow does not save."""

    def __init__(self, translator: Translator) -> None:
        self.translator = translator


def _pieces(tokenizer: Tokenizer, ids: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Looks up `Tokenizer.pieces` of ids `(B, L)` where they are `real`, and "" elsewhere."""
    pieces = tf.constant(tokenizer.pieces(range(tokenizer.vocabulary_size)))
    return tf.where(real, tf.gather(pieces, ids), "")


def _finite(outputs: Outputs) -> Outputs:
    """Replaces scores of minus infinity by the lowest float32 number; NaN stays."""
    scores = outputs["scores"]
    return {**outputs, "scores": tf.where(scores < LOWEST, LOWEST, scores)}
