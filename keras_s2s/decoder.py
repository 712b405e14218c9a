"""The recurrent decoder with attention: all target steps at once, or one token at a time."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.attending import AttendingStack
from keras_s2s.attention import Encoded, Mechanism, Memory, Score
from keras_s2s.projection import columns
from keras_s2s.stack import State, check_stack, embedding, embedding_dropouts, scaled
from keras_s2s.system.checks import check_flags, check_positive, check_shares


@keras.saving.register_keras_serializable(package="keras_s2s")
class Decoder(AttendingStack):
    """Predicts each target token from those before it and from the source (Luong et al. 2015, §3).

    1. Embed the tokens and run `depth` recurrent layers: decoder states `h_t`.
    2. Attend with `h_t`: `context_t, weights_t = attention(h_t, memory)`.
    3. The attentional vector `a_t = tanh(W·[context_t; h_t])`, of the same `h_t` that attended.
    4. `logits_t = V·a_t + b`.

    `call` does each of these for all steps in one large product; `step` does one token. Both use
    one set of weights, and looping `step` gives what `call` gives. With input feeding, or attention
    with the previous state, a step needs the one before it: `call` then loops inside the graph
    (`looped`). Attention that follows its own past alignments loops alone.

    Args:
        vocabulary_size: number of target ids `V`.
        embedding_size: width `E` of the embedding.
        units: width `U` of each recurrent layer. Left out with Keras cells.
        depth: number of recurrent layers; 1, or the number of cells in a list.
        cell: 'lstm', 'gru', 'layer_norm_lstm', any Keras RNN cell, or a list, one a layer.
        attention: an `Attention` or another mechanism, a `Score`, a score's name, a list of these
            for several at once, or None for the plain encoder–decoder, whose logits come from `h_t`
            alone and whose weights are zeros.
        attention_vector: how `a_t` is made: 'layer' as above; 'concatenation' takes
            `[context_t; h_t]` as it is, 'context' `context_t` alone.
        attention_size: width of `a_t` with 'layer'; that of `h_t` when omitted.
        attention_activation: its activation, 'tanh' when omitted; 'linear' as TensorFlow Addons.
        attend_with: 'current' attends with `h_t` (Luong); 'previous' with `h_{t−1}`, and joins
            `context_t` to the input of step `t` (Bahdanau et al. 2015).
        attention_in: the layer whose state attends, 'last' or 'first'; from the first, `a_t` is
            joined to the inputs of all layers above (Wu et al. 2016).
        input_feeding: join `a_{t−1}` to the input of step `t` (Luong et al. 2015, §3.3).
        output_from: what the logits come from: 'attention', that is `a_t`, or 'cell', the last
            layer's state. When omitted, 'cell' without attention or with attention in the first
            layer, else 'attention'.
        residual: add its inputs to the outputs of every layer but the first.
        layer_norm: normalise the outputs of every layer.
        dropout: share of the inputs of each layer, and of what the logits come from, dropped in
            training.
        recurrent_dropout: share of the state dropped where it enters the recurrent product, the
            same at all steps (Gal & Ghahramani 2016).
        embedding_dropout: share of the numbers in each embedding dropped.
        word_dropout: share of the words whose whole embedding is dropped.
        tied_embedding: the logits' matrix is the embedding (Press & Wolf 2017); what they come from
            must then be `embedding_size` wide.
        output_bias: whether the logits have a bias.
        trainable_embedding: False keeps the embedding as it is, for pretrained ones.
        embedding_scale: factor on the embeddings where they enter, see `Encoder`; a tied output
            layer takes them as they are.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import Encoded
    >>> decoder = Decoder(vocabulary_size=20, embedding_size=8, units=16, cell="gru")
    >>> encoded = Encoded(np.ones((2, 5, 6), "float32"), np.ones((2, 5), bool))
    >>> state = ((np.zeros((2, 16), "float32"),),)
    >>> logits, state, weights = decoder(np.array([[2, 7, 8], [2, 9, 0]]), state, encoded)
    >>> logits.shape, weights.shape
    (TensorShape([2, 3, 20]), TensorShape([2, 3, 5]))
    """

    def __init__(
        self,
        *,
        vocabulary_size: int,
        embedding_size: int,
        units: int | None = None,
        depth: int | None = None,
        cell: Any = "lstm",
        attention: Mechanism | Score | str | list[Any] | None = "general",
        attention_vector: str | None = None,
        attention_size: int | None = None,
        attention_activation: str | None = None,
        attend_with: str = "current",
        attention_in: str = "last",
        input_feeding: bool = False,
        output_from: str | None = None,
        residual: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        tied_embedding: bool = False,
        output_bias: bool = True,
        trainable_embedding: bool = True,
        embedding_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        check_stack(vocabulary_size, embedding_size, units, depth, cell)
        check_shares(embedding_dropout=embedding_dropout, word_dropout=word_dropout)
        check_flags(
            tied_embedding=tied_embedding,
            output_bias=output_bias,
            trainable_embedding=trainable_embedding,
        )
        check_positive("embedding_scale", embedding_scale)
        super().__init__(
            units=units,
            depth=depth,
            cell=cell,
            attention=attention,
            attention_vector=attention_vector,
            attention_size=attention_size,
            attention_activation=attention_activation,
            attend_with=attend_with,
            attention_in=attention_in,
            input_feeding=input_feeding,
            output_from=output_from,
            residual=residual,
            layer_norm=layer_norm,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            **kwargs,
        )
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.embedding_dropout = embedding_dropout
        self.word_dropout = word_dropout
        self.tied_embedding = tied_embedding
        self.output_bias = output_bias
        self.trainable_embedding = trainable_embedding
        self.embedding_scale = embedding_scale

        policy = self.dtype_policy
        self.embedding = embedding(
            vocabulary_size,
            embedding_size,
            trainable=trainable_embedding,
            dtype=policy,
            name="embedding",
        )
        self.embedding_dropouts = embedding_dropouts(embedding_dropout, word_dropout, policy)
        self.dropping = keras.layers.Dropout(dropout, dtype=policy)
        self.output_layer = None
        if not tied_embedding:
            self.output_layer = keras.layers.Dense(
                vocabulary_size, use_bias=output_bias, dtype=policy, name="output_layer"
            )

    def build(self, target_ids_shape: Any, state_shape: Any, memory_shape: Any) -> None:
        if not self.embedding.built:
            self.embedding.build((None, None))
        width = self.build_stack(self.embedding_size, memory_shape)
        if self.output_layer is not None:
            self.output_layer.build((None, None, width))
            return
        if width != self.embedding_size:
            raise ValueError(
                "`tied_embedding` needs what the logits come from to be as wide as the embedding; "
                f"got a width of {width}, embedding_size={self.embedding_size}. Set "
                "`attention_size` or `units` to embedding_size."
            )
        if self.output_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.vocabulary_size,), initializer="zeros"
            )

    def call(
        self,
        target_ids: Any,
        state: State,
        memory: Encoded | Memory,
        training: bool | None = None,
        logits: bool = True,
    ) -> tuple[Any, State, Any]:
        """All target steps, teacher forced.

        Step `t` reads `target_ids[:, t]` and predicts the token after it.

        Args:
            target_ids: `(B, T)` int, the start token first. Padding belongs at the end; what is
                predicted there is to be masked by the loss.
            state: one tuple per layer of tensors `(B, U)`, or what `initial_state` or an earlier
                call gave.
            memory: an `Encoded` or a `Memory` of the same batch.
            training: whether dropout is on.
            logits: False stops before the output layer: the first output is then `(B, T, W)`, what
                the logits come from through `output_weights`.

        Returns:
            `(logits (B, T, V), state, weights (B, T, S))`.
        """
        x = scaled(self.embedding(target_ids), self.embedding_scale)  # (B, T, E)
        for dropout in self.embedding_dropouts:
            x = dropout(x, training=training)
        hidden, state, weights = self.run(x, state, self.memory(memory), training)
        hidden = self.dropping(hidden, training=training)
        return self._logits(hidden) if logits else hidden, state, weights

    def step(self, tokens: Any, state: State, memory: Encoded | Memory) -> tuple[Any, State, Any]:
        """One token of each row, without dropout.

        Args:
            tokens: `(N,)` int. `N` is the memory's `B`, or `B·K` for `K` rows in a row per source,
                as beam search keeps them: the memory is not repeated.
            state: one tuple per layer of tensors `(N, U)`, or what `initial_state` or an earlier
                step gave. In a compiled loop it must be what `initial_state` gives.
            memory: a `Memory` (`decoder.memory(encoded)`); an `Encoded` works, at the cost of its
                keys.

        Returns:
            `(logits (N, V), state, weights (N, S))`.
        """
        if not self.built:
            raise ValueError(
                "This decoder has no weights yet, so it cannot step. "
                "Call it once, or build it, first."
            )
        x = scaled(self.embedding(tokens), self.embedding_scale)  # (N, E)
        hidden, state, weights = self.run_step(x, state, self.memory(memory))
        return self._logits(hidden), state, weights

    def output_weights(self) -> tuple[Any, Any]:
        """`(W, V)` and `(V,)`, or None without a bias, in the compute dtype: `hidden·W + b`."""
        if self.output_layer is not None:
            kernel, bias = self.output_layer.kernel, self.output_layer.bias
        else:
            kernel = ops.transpose(self.embedding.embeddings)
            bias = self.bias if self.output_bias else None
        kernel = ops.cast(kernel, self.compute_dtype)
        return kernel, None if bias is None else ops.cast(bias, self.compute_dtype)

    def output_columns(self, ids: Any) -> tuple[Any, Any]:
        """Of some ids `(N,)`: columns `(W, N)` of the kernel and biases `(N,)`, or None.

        They are those of `output_weights`, but nothing as large as the kernel is read or made,
        where the gradient of an untied one is.
        """
        if self.output_layer is not None:
            kernel = columns(self.output_layer.kernel, ids)
            bias = self.output_layer.bias
        else:
            kernel = ops.transpose(ops.take(self.embedding.embeddings, ids, axis=0))
            bias = self.bias if self.output_bias else None
        kernel = ops.cast(kernel, self.compute_dtype)
        if bias is None:
            return kernel, None
        return kernel, ops.cast(ops.take(bias, ids), self.compute_dtype)

    def _logits(self, hidden: Any) -> Any:
        if self.output_layer is not None:
            return self.output_layer(hidden)
        table = ops.cast(self.embedding.embeddings, self.compute_dtype)
        logits = ops.matmul(ops.cast(hidden, self.compute_dtype), ops.transpose(table))
        return logits + ops.cast(self.bias, logits.dtype) if self.output_bias else logits

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "embedding_dropout": self.embedding_dropout,
            "word_dropout": self.word_dropout,
            "tied_embedding": self.tied_embedding,
            "output_bias": self.output_bias,
            "trainable_embedding": self.trainable_embedding,
            "embedding_scale": self.embedding_scale,
        }
