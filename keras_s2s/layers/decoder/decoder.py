"""The recurrent decoder with attention: all target steps at once, or one token at a time."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import keras

from keras_s2s.layers.attention import Encoded, Mechanism, Memory, Score, resolved_mechanism
from keras_s2s.layers.decoder.design import Design, deserialized_options
from keras_s2s.layers.decoder.output import DenseOutput, TiedOutput, check_tied_width
from keras_s2s.layers.decoder.stack import DecoderStack
from keras_s2s.layers.embedding import TokenEmbedding, embedding_dropouts, embedding_table
from keras_s2s.layers.stack import State, check_stack, layer_cells
from keras_s2s.system.checks import check_flags, check_positive, check_shares


@keras.saving.register_keras_serializable(package="keras_s2s")
class Decoder(keras.layers.Layer):
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
        check_flags(tied_embedding=tied_embedding, output_bias=output_bias)
        check_flags(trainable_embedding=trainable_embedding)
        check_positive("embedding_scale", embedding_scale)
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.design = Design(
            units=units,
            depth=len(layer_cells(cell, depth)),
            cell=cell,
            attention=None if attention is None else resolved_mechanism(attention, policy),
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
        )
        # Options are attributes, as in any layer. Layers are tracked in the order of assignment.
        for option in fields(self.design):
            setattr(self, option.name, getattr(self.design, option.name))
        self.stack = DecoderStack(self.design, policy)
        self.blocks, self.attention_layer = self.stack.blocks, self.stack.attention_layer
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.embedding_dropout = embedding_dropout
        self.word_dropout = word_dropout
        self.tied_embedding = tied_embedding
        self.output_bias = output_bias
        self.trainable_embedding = trainable_embedding
        self.embedding_scale = embedding_scale
        self.embedding = embedding_table(
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

    @property
    def embed(self) -> TokenEmbedding:
        """What turns target ids into vectors."""
        return TokenEmbedding(self.embedding, self.embedding_scale, self.embedding_dropouts)

    @property
    def output_projection(self) -> DenseOutput | TiedOutput:
        """What turns hidden vectors into logits; a tied one is there once the decoder is built."""
        if self.output_layer is not None:
            return DenseOutput(self.output_layer)
        bias = self.bias if self.output_bias else None
        return TiedOutput(self.embedding, bias, self.compute_dtype)

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Per layer, the width of each tensor of the state."""
        return self.stack.state_sizes

    @property
    def looped(self) -> bool:
        """Whether a step of the layers needs the one before it, so that `call` loops over them."""
        return self.design.looped

    @property
    def attending_block(self) -> Any:
        """The layer whose state attends. Files of models keep its weights under this name."""
        return self.stack.attending_block

    def build(self, target_ids_shape: Any, state_shape: Any, memory_shape: Any) -> None:
        if not self.embedding.built:
            self.embedding.build((None, None))
        width = self.stack.build(self.embedding_size, memory_shape)
        if self.output_layer is not None:
            self.output_layer.build((None, None, width))
            return
        check_tied_width(width, self.embedding_size)
        if self.output_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.vocabulary_size,), initializer="zeros"
            )

    def memory(self, encoded: Encoded | Memory) -> Memory:
        """Adds the attention's keys to an `Encoded`: once per source, before looping `step`."""
        return self.stack.memory(encoded)

    def initial_state(self, state: State, memory: Memory) -> State:
        """The layers' state with what attention and feeding carry, ready for a loop of `step`.

        Args:
            state: one tuple per layer of tensors `(N, U)`.
            memory: a `Memory` of `B` sources; `N` is `B`, or `B·K` for `K` rows in a row each.

        Returns:
            `state` where nothing is carried, else `(*state, (fed, attention's state))`.
        """
        return self.stack.initial_state(state, memory)

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
        x = self.embed(target_ids, training=training)  # (B, T, E)
        # Recurrent layers, attention with their states, attentional vectors: (B, T, W).
        hidden, state, weights = self.stack.run(x, state, self.memory(memory), training)
        hidden = self.dropping(hidden, training=training)
        outputs = self.output_projection(hidden) if logits else hidden  # (B, T, V)
        return outputs, state, weights

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
        x = self.embed.without_dropout(tokens)  # (N, E)
        # Recurrent layers, attention with their states, attentional vector: (N, W).
        hidden, state, weights = self.stack.run_step(x, state, self.memory(memory))
        return self.output_projection(hidden), state, weights  # (N, V)

    def output_weights(self) -> tuple[Any, Any]:
        """`(W, V)` and `(V,)`, or None without a bias, in the compute dtype: `hidden·W + b`."""
        return self.output_projection.weights()

    def output_columns(self, ids: Any) -> tuple[Any, Any]:
        """Columns `(W, N)` of the kernel and biases `(N,)`, or None, of some ids `(N,)`.

        Nothing as large as the kernel is read or made, but the gradient of an untied one.
        """
        return self.output_projection.columns(ids)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.design.get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_size": self.embedding_size,
            "embedding_dropout": self.embedding_dropout,
            "word_dropout": self.word_dropout,
            "tied_embedding": self.tied_embedding,
            "output_bias": self.output_bias,
            "trainable_embedding": self.trainable_embedding,
            "embedding_scale": self.embedding_scale,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Decoder:
        return cls(**deserialized_options(config))
