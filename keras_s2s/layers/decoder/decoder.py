"""The recurrent decoder with attention, which runs all target steps at once or one by one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import keras

from keras_s2s.layers.attention import Encoded, Mechanism, Memory, Score, resolved_mechanism
from keras_s2s.layers.decoder.decoder_stack import DecoderStack
from keras_s2s.layers.decoder.design import Design, deserialized_options
from keras_s2s.layers.decoder.output import DenseOutput, TiedOutput, check_tied_width
from keras_s2s.layers.embedding import TokenEmbedding, embedding_dropouts, embedding_table
from keras_s2s.layers.stack import State, check_stack, layer_cells
from keras_s2s.system.checks import check_flags, check_positive, check_shares


@keras.saving.register_keras_serializable(package="keras_s2s")
class Decoder(keras.layers.Layer):
    """Predicts each target token from the source and earlier tokens (Luong et al. 2015, §3).

    1. Embedding: the token `y_t` becomes a vector `x_t`.
    2. Recurrent layers: `depth` of them turn `x_t` and their state into the decoder state `h_t`.
    3. Attention: scores of `h_t` against the memory give `weights_t` and their mean `context_t`.
    4. Attentional vector: `a_t = tanh(W·[context_t; h_t])`, of the same `h_t` that attended.
    5. Output layer: `logits_t = V·a_t + b`.

    `call` does each of these for all target steps in one large product, and `step` does them for
    one token. Both use one set of weights, and a loop over `step` gives the results of `call`. With
    input feeding, or attention with the previous state, a step needs the step before it. `looped`
    is then True, and `call` loops inside the graph. If only the attention follows its own past
    alignments, only the attention loops.

    Args:
        vocabulary_size: number of target ids `V`.
        embedding_size: width `E` of the embedding.
        units: width `U` of each recurrent layer. Keras cells have their own widths, so leave
            `units` out with them.
        depth: number of recurrent layers; when omitted, 1 or the number of cells in a list.
        cell: 'lstm', 'gru', 'layer_norm_lstm', any Keras RNN cell, or a list with one of these per
            layer.
        attention: an `Attention` or another mechanism, a `Score`, a score's name, or a list of
            these for several mechanisms at once. None makes a plain encoder–decoder, whose logits
            come from `h_t` alone and whose attention weights are zeros.
        attention_vector: the form of the attentional vector `a_t`. 'layer', the default, computes
            it as above. 'concatenation' takes `[context_t; h_t]` unchanged, and 'context' takes
            `context_t` alone.
        attention_size: width of `a_t` with 'layer'; the width of `h_t` when omitted.
        attention_activation: activation of `a_t` with 'layer'; 'tanh' when omitted. TensorFlow
            Addons uses 'linear'.
        attend_with: the state that attends. 'current' is `h_t` (Luong et al. 2015). 'previous' is
            `h_{t−1}`, and `context_t` is then joined to the input of step `t` (Bahdanau et al.
            2015).
        attention_in: the layer whose state attends, 'last' or 'first'. With 'first', `a_t` is
            joined to the inputs of all layers above the first (Wu et al. 2016).
        input_feeding: whether `a_{t−1}` is joined to the input of step `t` (Luong et al. 2015,
            §3.3).
        output_from: the hidden vectors that the logits come from. 'attention' takes `a_t`, and
            'cell' takes the last layer's state. The default is 'cell' without attention or with
            attention in the first layer, and 'attention' otherwise.
        residual: whether each layer but the first adds its inputs to its outputs.
        layer_norm: whether the outputs of every layer are normalised.
        dropout: share of the inputs of each layer, and of the hidden vectors that the logits come
            from, that training drops.
        recurrent_dropout: share of the state that training drops where the state enters the
            recurrent product, the same at all steps (Gal & Ghahramani 2016).
        embedding_dropout: share of the numbers in each embedding that training drops.
        word_dropout: share of the words whose whole embedding training drops.
        tied_embedding: whether the output layer uses the embedding as its matrix (Press & Wolf
            2017). The hidden vectors that the logits come from must then be `embedding_size` wide.
        output_bias: whether the logits have a bias.
        trainable_embedding: whether training changes the embedding. False is for pretrained
            embeddings.
        embedding_scale: factor on the embeddings of the tokens that the decoder reads, as in
            `Encoder`. A tied output layer takes the embeddings without this factor.

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
        # As in any layer, options are attributes. Keras tracks layers in the order of assignment.
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
        """The function that turns target ids into vectors."""
        return TokenEmbedding(self.embedding, self.embedding_scale, self.embedding_dropouts)

    @property
    def output_projection(self) -> DenseOutput | TiedOutput:
        """The function that turns hidden vectors into logits, which if tied needs the weights."""
        if self.output_layer is not None:
            return DenseOutput(self.output_layer)
        bias = self.bias if self.output_bias else None
        return TiedOutput(self.embedding, bias, self.compute_dtype)

    @property
    def state_sizes(self) -> tuple[tuple[int, ...], ...]:
        """The width of each tensor of the state, one tuple per layer."""
        return self.stack.state_sizes

    @property
    def looped(self) -> bool:
        """Whether a step of the layers needs the step before it, so that `call` is a loop."""
        return self.design.looped

    @property
    def attending_block(self) -> Any:
        """The layer whose state attends. Model files store its weights under this name."""
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
        """Makes the attention's memory of an encoded source, once before a loop of `step`."""
        return self.stack.memory(encoded)

    def initial_state(self, state: State, memory: Memory) -> State:
        """Adds the first states of attention and input feeding to the layers' states, for `step`.

        Args:
            state: one tuple per layer of tensors `(N, U)`.
            memory: a `Memory` of `B` sources; `N` is `B`, or `B·K` with `K` adjacent rows for each
                source.

        Returns:
            `(*state, (fed vector, attention's state))`, or `state` if the decoder has neither.
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
        """Runs all target steps with teacher forcing.

        Step `t` reads `target_ids[:, t]` and predicts the token after it.

        Args:
            target_ids: `(B, T)` int, the start token first. Padding belongs at the end; the loss
                must mask the predictions there.
            state: one tuple per layer of tensors `(B, U)`, or the state that `initial_state` or an
                earlier call returned.
            memory: an `Encoded` or a `Memory` of the same batch.
            training: whether dropout is on.
            logits: whether the output layer runs. With False, the first output is the hidden
                vectors `(B, T, W)`, from which `output_weights` would make the logits.

        Returns:
            `(logits (B, T, V), state, weights (B, T, S))`.
        """
        # 1. Embedding.
        x = self.embed(target_ids, training=training)  # (B, T, E)
        # 2. Recurrent layers, 3. attention with their states, 4. attentional vectors.
        #    `DecoderStack` runs them in the order that the design asks for.
        hidden, state, weights = self.stack.run(x, state, self.memory(memory), training)
        hidden = self.dropping(hidden, training=training)  # (B, T, W)
        # 5. Output layer.
        outputs = self.output_projection(hidden) if logits else hidden  # (B, T, V)
        return outputs, state, weights

    def step(self, tokens: Any, state: State, memory: Encoded | Memory) -> tuple[Any, State, Any]:
        """Runs one target step, one token for each row, without dropout.

        Args:
            tokens: `(N,)` int. `N` is the memory's `B`, or `B·K` with `K` adjacent rows for each
                source, as in beam search, where the memory is not repeated.
            state: one tuple per layer of tensors `(N, U)`, or the state that `initial_state` or an
                earlier step returned. A compiled loop must begin with the state of `initial_state`.
            memory: a `Memory`, which `decoder.memory(encoded)` makes. An `Encoded` works too, but
                its keys are then computed at every step.

        Returns:
            `(logits (N, V), state, weights (N, S))`.
        """
        if not self.built:
            raise ValueError(
                "This decoder has no weights yet, so it cannot step. "
                "Call it once, or build it, first."
            )
        # 1. Embedding.
        x = self.embed.without_dropout(tokens)  # (N, E)
        # 2. Recurrent layers, 3. attention with their states, 4. attentional vector.
        hidden, state, weights = self.stack.run_step(x, state, self.memory(memory))  # (N, W)
        # 5. Output layer.
        return self.output_projection(hidden), state, weights  # (N, V)

    def output_weights(self) -> tuple[Any, Any]:
        """Returns kernel `(W, V)` and bias `(V,)`, or None, of the logits, in the compute dtype."""
        return self.output_projection.weights()

    def output_columns(self, ids: Any) -> tuple[Any, Any]:
        """Returns kernel columns `(W, N)` and biases `(N,)`, or None, of some ids `(N,)`.

        This method reads or makes nothing as large as the kernel, except the gradient of an untied
        kernel.
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
