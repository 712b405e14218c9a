"""The tokenizers as TensorFlow operations, for use inside functions and SavedModels.

Repeats the rules of `tokenizer` with operations that every stock TensorFlow Serving binary holds:
TensorFlow's own and, for SentencePiece, TensorFlow Text's. Use it through `Tokenizer.module()`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import tensorflow as tf

from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.tokenizer import FIRST_ID, UNKNOWN_TEXT, Tokenizer
from keras_s2s.text.vocabulary import CharTokenizer, VocabularyTokenizer, WordTokenizer

TEXTS = tf.TensorSpec([None], tf.string, name="texts")
IDS = tf.TensorSpec([None, None], tf.int32, name="ids")


def valid_texts(texts: tf.Tensor) -> tf.Tensor:
    """`valid_text` of `tokenizer` for a tensor of bytes: invalid UTF-8 to U+FFFD, NUL to a space.

    Args:
        texts: Strings of any shape.

    Returns:
        Valid UTF-8 of the same shape.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    return tf.strings.regex_replace(texts, r"\x00", " ")


def sentences(ids: tf.Tensor) -> tf.RaggedTensor:
    """The ids of each row before its first end id, without padding and start.

    Args:
        ids: (B, L) int32.

    Returns:
        (B, None) int32.
    """
    ended = tf.cumsum(tf.cast(ids == Tokenizer.end_id, tf.int32), axis=1) > 0
    kept = ~ended & (ids != Tokenizer.pad_id) & (ids != Tokenizer.start_id)
    return tf.ragged.boolean_mask(ids, kept)


class TokenizerModule(tf.Module):
    """What the graph forms share. Use a subclass, through `Tokenizer.module()`.

    Attributes:
        encode: Function of texts (B,) string; gives ids (B, None) int32, without start and end.
        decode: Function of ids (B, L) int32; gives texts (B,) string.
    """

    def __init__(self) -> None:
        super().__init__()
        # Made here: a decorated method would lose its object in `tokenizer.module().encode(...)`.
        self.encode = tf.function(self._encode, input_signature=[TEXTS], autograph=False)
        self.decode = tf.function(self._decode, input_signature=[IDS], autograph=False)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        raise NotImplementedError

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError


class SentencePieceModule(TokenizerModule):
    """SentencePieceTokenizer in the graph.

    Args:
        tokenizer: The tokenizer; its model becomes a resource of this module.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer) -> None:
        super().__init__()
        self._vocabulary_size = tokenizer.vocabulary_size
        self._processor = _Processor(tokenizer.model)

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        ids, splits = _sentencepiece_ops().sentencepiece_tokenize_op(
            self._processor.resource_handle,
            valid_texts(texts),
            nbest_size=0,  # no sampling
            alpha=1.0,
            add_bos=False,
            add_eos=False,
            reverse=False,
            out_type=tf.int32,
        )
        return tf.RaggedTensor.from_row_splits(ids, splits, validate=False)

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        known = (ids >= 0) & (ids < self._vocabulary_size)
        kept = sentences(tf.where(known, ids, Tokenizer.unknown_id))
        return _sentencepiece_ops().sentencepiece_detokenize_op(
            self._processor.resource_handle,
            kept.values,
            kept.row_splits,
            add_bos=False,
            add_eos=False,
            reverse=False,
        )


class _Processor(tf.saved_model.experimental.TrackableResource):
    """A loaded SentencePiece model.

    `tensorflow_text.SentencepieceTokenizer` gives its resource no name, so the resource ends with
    the kernel that made it, and `keras.utils.set_random_seed` and `keras.backend.clear_session`
    discard all kernels (https://github.com/tensorflow/text/issues/802, still so in 2.21.1). One
    with a name stays until the process ends. The name is made from the model, so equal tokenizers
    share one.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self._model = model
        self._name = f"keras_s2s_{hashlib.sha256(model).hexdigest()}"
        with tf.init_scope():
            _ = self.resource_handle  # creates it here, not in the first function that uses it

    def _create_resource(self) -> tf.Tensor:
        return _sentencepiece_ops().sentencepiece_op(model=self._model, shared_name=self._name)


def _sentencepiece_ops() -> Any:
    # Not at the top: characters and words must not need TensorFlow Text.
    from tensorflow_text.python.ops import sentencepiece_tokenizer

    return sentencepiece_tokenizer.gen_sentencepiece_tokenizer


class VocabularyModule(TokenizerModule):
    """What CharModule and WordModule share. Use a subclass.

    Args:
        tokenizer: The tokenizer; its vocabulary becomes two look-up tables of this module.
    """

    def __init__(self, tokenizer: VocabularyTokenizer) -> None:
        super().__init__()
        ids = tf.range(FIRST_ID, tokenizer.vocabulary_size, dtype=tf.int64)
        self._separator = tokenizer.separator
        self._ids = _table(self._keys(tokenizer.vocabulary), ids, Tokenizer.unknown_id)
        self._tokens = _table(ids, tf.constant(tokenizer.vocabulary), UNKNOWN_TEXT)

    def _keys(self, vocabulary: list[str]) -> tf.Tensor:
        raise NotImplementedError

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        raise NotImplementedError

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        tokens = self._split(valid_texts(texts))
        return tokens.with_values(tf.cast(self._ids.lookup(tokens.values), tf.int32))

    def _decode(self, ids: tf.Tensor) -> tf.Tensor:
        kept = sentences(ids)
        tokens = kept.with_values(self._tokens.lookup(tf.cast(kept.values, tf.int64)))
        return tf.strings.reduce_join(tokens, axis=1, separator=self._separator)


def _table(keys: tf.Tensor, values: tf.Tensor, default: Any) -> tf.lookup.StaticHashTable:
    entries = tf.lookup.KeyValueTensorInitializer(keys, values)
    return tf.lookup.StaticHashTable(entries, tf.constant(default, values.dtype))


class CharModule(VocabularyModule):
    """CharTokenizer in the graph; looks code points up as numbers.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: CharTokenizer) -> None:
        super().__init__(tokenizer)

    def _keys(self, vocabulary: list[str]) -> tf.Tensor:
        return tf.constant([ord(token) for token in vocabulary], tf.int64)

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        points = tf.strings.unicode_decode(texts, "UTF-8")
        return points.with_values(tf.cast(points.values, tf.int64))


class WordModule(VocabularyModule):
    """WordTokenizer in the graph.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: WordTokenizer) -> None:
        super().__init__(tokenizer)

    def _keys(self, vocabulary: list[str]) -> tf.Tensor:
        return tf.constant(vocabulary)

    def _split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        # Without a separator TensorFlow splits on exactly the ASCII white space of WORD_PATTERN.
        return tf.strings.split(texts)
