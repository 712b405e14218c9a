"""The recurrent encoder, which turns source ids into an encoded source and a final state."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.layers import stack
from keras_s2s.layers.attention import Encoded
from keras_s2s.layers.embedding import TokenEmbedding, embedding_dropouts, embedding_table
from keras_s2s.layers.stack import State, check_stack
from keras_s2s.system.checks import check_choice, check_flags, check_positive, check_shares, is_size


@keras.saving.register_keras_serializable(package="keras_s2s")
class Encoder(keras.layers.Layer):
    """Reads the whole source and returns its state at every position, and the final state.

    1. Embed the ids. Positions with `pad_id` are masked, wherever they are.
    2. Run `depth` recurrent layers, with dropout on the inputs of each layer and on the memory.
    3. In a bidirectional layer, run a second recurrence from the end to the start and concatenate
       the outputs of the two.

    Args:
        vocabulary_size: number of source ids.
        embedding_size: width `E` of the embedding.
        units: width of each recurrence. A bidirectional layer is twice as wide. Keras cells have
            their own widths, so leave `units` out with them.
        depth: number of recurrent layers; when omitted, 1 or the number of cells in a list.
        cell: 'lstm', 'gru', 'layer_norm_lstm', any Keras RNN cell, or a list with one of these per
            layer.
        bidirectional: True to read the source in both directions (Schuster & Paliwal 1997); 'first'
            to do so only in the first layer (Wu et al. 2016, §3.2).
        residual: True to add a layer's inputs to its outputs, in every layer but the first whose
            inputs and outputs are equally wide.
        layer_norm: True to normalise the outputs of every layer.
        dropout: share of the inputs of each layer, and of the memory, that training drops.
        recurrent_dropout: share of the state that training drops where the state enters the
            recurrent product, the same at all steps (Gal & Ghahramani 2016).
        embedding_dropout: share of the numbers in each embedding that training drops.
        word_dropout: share of the words whose whole embedding training drops.
        reverse_source: True to read the source from its end (Sutskever et al. 2014). The memory
            keeps the order of the source, so alignments need no reversal.
        source_features: pairs `(vocabulary size, embedding size)`, one for each further id that a
            source token carries, such as its part of speech. Their embeddings are concatenated to
            the embedding of the token.
        trainable_embedding: False to leave the embedding unchanged in training, which suits
            pretrained embeddings.
        embedding_scale: factor on the embeddings of tokens. Embeddings start with a variance of
            1/E, so √E makes the inputs start with a variance of one (Vaswani et al. 2017, §3.4). A
            model then learns in fewer steps. 1 suits pretrained embeddings.
        pad_id: the id of padding, which is not a token.

    Example: Two sources, the second of which has two positions of padding.
    >>> import numpy as np
    >>> encoder = Encoder(vocabulary_size=20, embedding_size=8, units=16, cell="gru")
    >>> encoded, state = encoder(np.array([[5, 6, 7, 3], [8, 3, 0, 0]]))
    >>> encoded.values.shape, encoded.mask.shape, state[0][0].shape
    (TensorShape([2, 4, 32]), TensorShape([2, 4]), TensorShape([2, 32]))
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int,
        units: int | None = None,
        depth: int | None = None,
        cell: Any = "lstm",
        bidirectional: bool | str = True,
        residual: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        reverse_source: bool = False,
        source_features: Any = (),
        trainable_embedding: bool = True,
        embedding_scale: float = 1.0,
        pad_id: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_stack(vocabulary_size, embedding_size, units, depth, cell)
        check_choice("bidirectional", bidirectional, (True, False, "first"))
        check_shares(
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            embedding_dropout=embedding_dropout,
            word_dropout=word_dropout,
        )
        check_flags(
            residual=residual,
            layer_norm=layer_norm,
            reverse_source=reverse_source,
            trainable_embedding=trainable_embedding,
        )
        check_positive("embedding_scale", embedding_scale)
        _check_pad_id(pad_id, vocabulary_size)
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.units = units
        self.cell = cell
        self.bidirectional = bidirectional
        self.residual = residual
        self.layer_norm = layer_norm
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.embedding_dropout = embedding_dropout
        self.word_dropout = word_dropout
        self.reverse_source = reverse_source
        self.source_features = _checked_features(source_features)
        self.trainable_embedding = trainable_embedding
        self.embedding_scale = embedding_scale
        self.pad_id = pad_id
        self._make_layers(depth)

    def _make_layers(self, depth: int | None) -> None:
        """Makes the embeddings, the recurrent layers and the dropouts, in the order they are saved.

        Args:
            depth: number of recurrent layers; None for one layer, or for one per cell of a list.
        """
        policy = self.dtype_policy
        self.embedding = embedding_table(
            self.vocabulary_size,
            self.embedding_size,
            trainable=self.trainable_embedding,
            dtype=policy,
            name="embedding",
        )
        self.feature_embeddings = [
            embedding_table(*sizes, dtype=policy, name=f"feature_{i}")
            for i, sizes in enumerate(self.source_features)
        ]
        self.embedding_dropouts = embedding_dropouts(
            self.embedding_dropout, self.word_dropout, policy
        )
        self.blocks = stack.blocks(
            self.cell,
            self.units,
            depth,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            residual=self.residual,
            layer_norm=self.layer_norm,
            dtype=policy,
        )
        self.dropping = keras.layers.Dropout(self.dropout, dtype=policy)

    @property
    def embed(self) -> TokenEmbedding:
        """The embedding of source ids and features, with its scale and dropouts."""
        return TokenEmbedding(
            self.embedding, self.embedding_scale, self.embedding_dropouts, self.feature_embeddings
        )

    @property
    def depth(self) -> int:
        """Number of recurrent layers."""
        return len(self.blocks)

    @property
    def memory_size(self) -> int:
        """Width `M` of the memory."""
        return self.blocks[-1].units

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """The width of each tensor of the final state, one tuple per layer."""
        return tuple(block.state_sizes for block in self.blocks)

    def build(self, source_ids_shape: Any = None) -> None:
        width = self.embedding_size + sum(size for _, size in self.source_features)
        for embedding in (self.embedding, *self.feature_embeddings):
            if not embedding.built:
                embedding.build((None, None))
        for block in self.blocks:
            block.build((None, None, width))
            width = block.units

    def call(
        self, source_ids: Any, source_features: Any = None, training: bool | None = None
    ) -> tuple[Encoded, State]:
        """Encodes a batch.

        Args:
            source_ids: `(B, S)` int. `pad_id` marks positions without a token, which may be
                anywhere.
            source_features: `(B, S, F)` int for an encoder with `F` features; None without them.
            training: whether dropout is on.

        Returns:
            `(Encoded(values (B, S, M), mask (B, S)), state)`. The state has one tuple of tensors
            `(B, …)` per layer, which is `(h, c)` for LSTM and `(h,)` for GRU. The states of both
            directions are concatenated.

        Raises:
            ValueError: If the ids or the features have another shape, if features are missing, or
                if features are given to an encoder without them.
        """
        source_ids = ops.convert_to_tensor(source_ids)
        if len(source_ids.shape) != 2:
            raise ValueError(
                "`source_ids` must have the shape (batch, source length); got "
                f"{tuple(source_ids.shape)}. Pass one source as source_ids[None]."
            )
        mask = ops.not_equal(source_ids, self.pad_id)
        features = self._features(source_features)
        x = self.embed(source_ids, features, training)  # (B, S, E)
        if self.reverse_source:
            x, mask = ops.flip(x, axis=1), ops.flip(mask, axis=1)
        state = []
        for block in self.blocks:
            x, last = block(x, mask=mask, training=training)
            state.append(last)
        x = self.dropping(x, training=training)  # (B, S, M)
        if self.reverse_source:
            x, mask = ops.flip(x, axis=1), ops.flip(mask, axis=1)
        return Encoded(x, mask), tuple(state)

    def _features(self, source_features: Any) -> Any:
        """Returns the features as a tensor, or None for an encoder without any."""
        if (source_features is None) != (not self.source_features):
            raise ValueError(
                f"This encoder has {len(self.source_features)} source features per token "
                f"(`source_features={self.source_features}`); got "
                f"source_features={'none' if source_features is None else 'a tensor'}."
            )
        if source_features is None:
            return None
        source_features = ops.convert_to_tensor(source_features)
        shape = tuple(source_features.shape)
        if len(shape) != 3 or shape[-1] != len(self.source_features):
            raise ValueError(
                "`source_features` must have the shape (batch, source length, "
                f"{len(self.source_features)}); got {shape}."
            )
        return source_features

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "units": self.units,
            "depth": self.depth,
            "cell": stack.serialized_cell(self.cell),
            "bidirectional": self.bidirectional,
            "residual": self.residual,
            "layer_norm": self.layer_norm,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "embedding_dropout": self.embedding_dropout,
            "word_dropout": self.word_dropout,
            "reverse_source": self.reverse_source,
            "source_features": self.source_features,
            "trainable_embedding": self.trainable_embedding,
            "embedding_scale": self.embedding_scale,
            "pad_id": self.pad_id,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Encoder:
        return cls(**{**config, "cell": stack.deserialized_cell(config["cell"])})


def _check_pad_id(pad_id: Any, vocabulary_size: int) -> None:
    """Checks that `pad_id` is an id of the vocabulary."""
    is_id = isinstance(pad_id, int) and not isinstance(pad_id, bool)
    if not is_id or not 0 <= pad_id < vocabulary_size:
        raise ValueError(
            "`pad_id` must be an id of the vocabulary, from 0 to below "
            f"vocabulary_size={vocabulary_size}; got pad_id={pad_id!r}."
        )


def _checked_features(features: Any) -> tuple[tuple[int, int], ...]:
    """Returns the option `source_features` as a tuple of pairs of sizes."""
    try:
        pairs = tuple((vocabulary, size) for vocabulary, size in features)
    except (TypeError, ValueError):
        pairs = ((0, 0),)
    for value in (number for pair in pairs for number in pair):
        if not is_size(value):
            raise ValueError(
                "`source_features` must be pairs of positive integers, (vocabulary size, "
                f"embedding size); got source_features={features!r}."
            )
    return pairs
