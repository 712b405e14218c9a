"""`Seq2Seq`, which joins encoder, bridge and decoder into one model to train."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.layers.attention import Memory
from keras_s2s.layers.bridge import Bridge, bridge_between
from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.layers.recurrent import cudnn
from keras_s2s.layers.stack import State
from keras_s2s.models.scheduled_sampling import Schedule, mixed_tokens
from keras_s2s.models.sharing import check_separate_cells, share_embedding
from keras_s2s.models.steps import TokenSteps
from keras_s2s.optimization.adam import FusedAdam
from keras_s2s.optimization.losses import GuidedAlignment, TokenCrossEntropy
from keras_s2s.optimization.token_metrics import Perplexity, TokenAccuracy
from keras_s2s.system.checks import check_flags, check_instance


@keras.saving.register_keras_serializable(package="keras_s2s")
class Seq2Seq(TokenSteps):
    """Joins encoder, bridge and decoder into one Keras model that trains with teacher forcing.

    The inputs are `{"source_ids": (B, S), "target_ids": (B, T)}`, where each target begins with the
    start token. An encoder with source features also takes `"source_features": (B, S, F)`. The
    outputs are the logits `(B, T, V)` of the token after each target position, so `predict` returns
    teacher-forced logits. To decode, use `inference_model()`.

    Args:
        encoder: an `Encoder`.
        decoder: a `Decoder`.
        bridge: a `Bridge`; when omitted, a `CopyBridge` if the state sizes are equal, or else a
            `DenseBridge`.
        shared_embedding: whether source and target ids share one embedding. They must then be of
            one vocabulary.
        teacher_forcing: a `Schedule` of the probability that training reads the true token and not
            a token drawn from the model, at each optimizer step (scheduled sampling, Bengio et al.
            2015); pure teacher forcing when omitted.
        guided_alignment: a `GuidedAlignment`. The inputs may then hold `"alignments": (B, T, S)`,
            which are one where a target token is aligned to a source token, and the value of the
            `GuidedAlignment` is added to the loss. Without it, alignments in the inputs are an
            error.

    Example:
    >>> import numpy as np
    >>> model = Seq2Seq(
    ...     Encoder(vocabulary_size=9, embedding_size=8, units=8),
    ...     Decoder(vocabulary_size=9, embedding_size=8, units=16),
    ... )
    >>> model.compile()
    >>> source = np.array([[5, 6, 7, 3]])
    >>> target = np.array([[2, 7, 6, 5, 3]])
    >>> x = {"source_ids": source, "target_ids": target[:, :-1]}
    >>> history = model.fit(x, target[:, 1:], epochs=1, verbose=0)
    >>> model.predict(x, verbose=0).shape
    (1, 4, 9)
    >>> model.inference_model(GreedySearch(max_length=6)).predict(source, verbose=0).ids.shape
    (1, 1, 6)
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        bridge: Bridge | None = None,
        shared_embedding: bool = False,
        teacher_forcing: Schedule | None = None,
        guided_alignment: GuidedAlignment | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_instance("encoder", encoder, Encoder)
        check_instance("decoder", decoder, Decoder)
        check_separate_cells(encoder, decoder)
        if bridge is None:
            # The bridge has the decoder's dtype, so that the state in a search's loop keeps its
            # dtype.
            bridge = bridge_between(
                encoder.state_sizes, decoder.state_sizes, dtype=decoder.dtype_policy
            )
        check_instance("bridge", bridge, Bridge)
        check_flags(shared_embedding=shared_embedding)
        if teacher_forcing is not None:
            check_instance("teacher_forcing", teacher_forcing, Schedule)
        if guided_alignment is not None:
            check_instance("guided_alignment", guided_alignment, GuidedAlignment)
            if decoder.attention is None:
                raise ValueError("`guided_alignment` needs a decoder with attention; it has none.")
        self.encoder = encoder
        self.decoder = decoder
        self.bridge = bridge
        self.shared_embedding = shared_embedding
        self.teacher_forcing = teacher_forcing
        self.guided_alignment = guided_alignment
        self.seeds = keras.random.SeedGenerator() if teacher_forcing is not None else None
        if shared_embedding:
            share_embedding(encoder, decoder)
        self.supports_jit = _xla_only()

    @property
    def pad_id(self) -> int:
        """The id that pads rows to the length of the longest."""
        return self.encoder.pad_id

    @property
    def source_vocabulary_size(self) -> int:
        """Number of source ids."""
        return self.encoder.vocabulary_size

    @property
    def target_vocabulary_size(self) -> int:
        """Number of target ids."""
        return self.decoder.vocabulary_size

    @property
    def attends(self) -> bool:
        """Whether the decoder has attention."""
        return self.decoder.attention is not None

    @property
    def compute_dtypes(self) -> set[str]:
        """The dtypes that encoder and decoder compute in."""
        return {self.encoder.compute_dtype, self.decoder.compute_dtype}

    def build(self, input_shape: Any = None) -> None:
        """Makes all weights. Their shapes depend only on the sizes of encoder and decoder."""
        encoder_state = [[(None, size) for size in layer] for layer in self.encoder.state_sizes]
        decoder_state = [[(None, size) for size in layer] for layer in self.decoder.state_sizes]
        for layer, shapes in (
            (self.encoder, [(None, None)]),
            (self.bridge, [encoder_state, [(None, None, self.encoder.memory_size), (None, None)]]),
            (self.decoder, [(None, None), decoder_state, (None, None, self.encoder.memory_size)]),
        ):
            if not layer.built:
                layer.build(*shapes)

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        *,
        weighted_metrics: Any = None,
        jit_compile: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures training as `keras.Model.compile` does, with defaults that train well.

        Args:
            optimizer: a Keras optimizer; when omitted, `FusedAdam` with a learning rate of 1e-3 and
                gradients clipped to a global norm of 1.
            loss: a loss of logits; `TokenCrossEntropy` when omitted.
            weighted_metrics: metrics of real tokens; `TokenAccuracy` and `Perplexity` when omitted.
            jit_compile: whether XLA compiles the steps, which it does for each new length. By
                default, it does so only on JAX, which has no other compiler.
            **kwargs: the other arguments of `keras.Model.compile`.
        """
        pad_id = self.pad_id
        if optimizer is None:
            optimizer = FusedAdam(1e-3, global_clipnorm=1.0)
        if loss is None:
            loss = TokenCrossEntropy(pad_id)
        if weighted_metrics is None:
            weighted_metrics = [TokenAccuracy(pad_id), Perplexity(pad_id)]
        # Keras asks for this attribute. Without XLA one graph of TensorFlow serves every length.
        self.supports_jit = _xla_only() or jit_compile is True
        cudnn.allow(self, jit_compile is not True)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            weighted_metrics=weighted_metrics,
            jit_compile="auto" if jit_compile is None else jit_compile,
            **kwargs,
        )
        self._jit_asked = jit_compile
        self.choose_steps(loss, weighted_metrics, kwargs)

    # Keras requires these two methods if `compile` is overridden. With them, a loaded model goes on
    # training from the optimizer state that was saved.
    def get_compile_config(self) -> dict[str, Any]:
        config = dict(super().get_compile_config())
        if config:
            # Another backend may load the model, so the file has the argument that was given to
            # `compile`, and not its meaning on this backend.
            config["jit_compile"] = self._jit_asked
            config["optimizer"] = _on_any_backend(config["optimizer"])
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def call(
        self, inputs: dict[str, Any], training: bool | None = None, logits: bool = True
    ) -> Any:
        """Computes teacher-forced logits `(B, T, V)` from `source_ids (B, S)`, `target_ids (B, T)`.

        With `logits=False` it returns the hidden vectors `(B, T, W)`, from which `output_weights`
        would make the logits.
        """
        if not isinstance(inputs, dict) or not {"source_ids", "target_ids"} <= set(inputs):
            received = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(
                "Seq2Seq takes a dict with 'source_ids' and 'target_ids'; got "
                f"{received}. To decode from source ids alone, use inference_model()."
            )
        target_ids = inputs["target_ids"]
        encoded, state = self.encoder(
            inputs["source_ids"], inputs.get("source_features"), training=training
        )
        memory, state = self.decoder.memory(encoded), self.bridge(state, encoded)
        if training and self.teacher_forcing is not None:
            target_ids = self._sampled_targets(self.teacher_forcing, target_ids, state, memory)
        outputs, _, weights = self.decoder(
            target_ids, state, memory, training=training, logits=logits
        )
        self._add_alignment_loss(inputs.get("alignments"), weights)
        return outputs

    def output_weights(self) -> tuple[Any, Any]:
        """Returns kernel `(W, V)` and bias `(V,)`, or None, of the logits, in the compute dtype."""
        return self.decoder.output_weights()

    def output_columns(self, ids: Any) -> tuple[Any, Any]:
        """Returns kernel columns `(W, N)` and biases `(N,)`, or None, of some ids `(N,)`."""
        return self.decoder.output_columns(ids)

    def _sampled_targets(
        self, schedule: Schedule, target_ids: Any, state: State, memory: Memory
    ) -> Any:
        """Replaces some target ids by ids that the decoder draws, for scheduled sampling."""
        optimizer = getattr(self, "optimizer", None)
        if optimizer is None:
            raise ValueError(
                "`teacher_forcing` is a schedule over the optimizer's steps, and this model has no "
                "optimizer: compile it before training."
            )
        if keras.backend.backend() == "jax":
            raise ValueError(
                "`teacher_forcing` follows the optimizer's steps, which Keras' trainer hides from "
                "the model on the JAX backend. Train on the TensorFlow or Torch backend, or leave "
                "`teacher_forcing` out."
            )
        probability = schedule(ops.cast(optimizer.iterations, "float32"))
        return mixed_tokens(
            self.decoder,
            target_ids,
            state,
            memory,
            probability,
            self.seeds,
            self.pad_id,
        )

    def _add_alignment_loss(self, alignments: Any, weights: Any) -> None:
        """Adds the loss of guided alignment if the inputs hold alignments."""
        if alignments is None:
            return
        if self.guided_alignment is None:
            raise ValueError(
                "The inputs hold 'alignments', but this model was made without `guided_alignment`. "
                "Make it with guided_alignment=GuidedAlignment(), or leave the alignments out."
            )
        self.add_loss(self.guided_alignment(alignments, weights))

    def encode(self, source_ids: Any, source_features: Any = None) -> tuple[Memory, State]:
        """Encodes source ids `(B, S)`: the memory and the decoder's first state, for `step`."""
        encoded, state = self.encoder(source_ids, source_features, training=False)
        memory = self.decoder.memory(encoded)
        return memory, self.decoder.initial_state(self.bridge(state, encoded), memory)

    def step(self, tokens: Any, state: State, memory: Memory) -> tuple[Any, State, Any]:
        """Runs one step of the decoder, as `Decoder.step` does."""
        return self.decoder.step(tokens, state, memory)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "bridge": serialize(self.bridge),
            "shared_embedding": self.shared_embedding,
            "teacher_forcing": serialize(self.teacher_forcing),
            "guided_alignment": serialize(self.guided_alignment),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Seq2Seq:
        if config.get("shared_embedding"):
            # A decoder that is built from its own configuration would get another embedding.
            decoder = {k: v for k, v in config["decoder"].items() if k != "build_config"}
            config = {**config, "decoder": decoder}
        parts: dict[str, Any] = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("encoder", "decoder", "bridge", "teacher_forcing", "guided_alignment")
            if name in config
        }
        return cls(**{**config, **parts})


def _xla_only() -> bool:
    """Tells whether XLA is the only compiler of this backend."""
    return keras.backend.backend() == "jax"


def _on_any_backend(config: Any) -> Any:
    """Returns an optimizer's configuration under the name that all backends know.

    On the Torch backend, Keras 3.15 replaces its optimizers by versions for Torch, and saves the
    module of these versions. Without Torch such a file could not be loaded. With Torch installed,
    another backend would load it and fail to train.
    """
    if not isinstance(config, dict):
        return config
    # An optimizer may hold another optimizer.
    renamed = {key: _on_any_backend(value) for key, value in config.items()}
    if str(renamed.get("module")).startswith("keras.src.backend.torch.optimizers."):
        renamed["module"] = "keras.optimizers"
        renamed["registered_name"] = None
    return renamed
