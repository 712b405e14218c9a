"""The gradient shortcut: how much of the loss's gradient reaches each encoder state.

The gradient is that of the recurrent state itself. A zero is added to the state after every source
position, where the next position reads it and where the decoder attends to it, and the gradient is
taken with respect to these zeros. So it counts every way from the state to the loss: through the
later states, and, with attention, straight through the memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_s2s import Encoded, Encoder, Seq2Seq
from keras_s2s.layers.scan import scan
from study import models, tasks


class Settings(NamedTuple):
    """Settings of the measurement."""

    lengths: tuple[int, ...] = (10, 25, 50, 100)
    cells: tuple[str, ...] = ("lstm", "gru")
    variants: tuple[str, ...] = ("none", "general")
    seeds: int = 3
    sequences: int = 64
    sizes: models.Sizes = models.Sizes()
    training: models.Training = models.Training(steps=300, longest=100)
    measured_steps: tuple[int, ...] = (0, 10, 30, 100, 300)
    task: str = "copy"


QUICK = Settings(
    lengths=(3, 6),
    cells=("lstm",),
    seeds=1,
    sequences=4,
    sizes=models.Sizes(symbols=5, embedding=4, units=8),
    training=models.Training(steps=2, longest=4, batch=4),
    measured_steps=(0, 2),
)


class Gradients(NamedTuple):
    """Gradients of the loss of each sequence, the mean cross-entropy of its target tokens.

    Attributes:
        loss: `(B,)`: the loss of each sequence.
        state: one `(B, S, U)` per tensor of the state (h and c of an LSTM, h of a GRU): gradients
            with respect to the recurrent state after each position, by every way.
        memory: `(B, S, U)`: the part of that of h which comes straight from the memory. Zeros
            without attention.
    """

    loss: Any
    state: tuple[Any, ...]
    memory: Any


def state_gradients(model: Seq2Seq, source_ids: Any, target_ids: Any) -> Gradients:
    """Returns the gradients of each sequence's loss with respect to the encoder's states.

    Args:
        model: model with a forward encoder of one layer.
        source_ids: `(B, S)` int, no padding.
        target_ids: `(B, T)` int, start and end included, no padding.
    """
    recurrent = recurrent_layer(model.encoder)
    zeros = _zeros(recurrent, source_ids)
    memory_zeros = ops.transpose(zeros[0], (1, 0, 2))  # (B, S, U)
    with tf.GradientTape() as tape:
        tape.watch([zeros, memory_zeros])
        values, state = unrolled(model.encoder, source_ids, zeros)
        encoded = Encoded(values + memory_zeros, ops.ones_like(source_ids, "bool"))
        logits, _, _ = model.decoder(target_ids[:, :-1], model.bridge((state,)), encoded)
        entropy = ops.sparse_categorical_crossentropy(target_ids[:, 1:], logits, from_logits=True)
        loss = ops.mean(entropy, axis=1)  # (B,)
        # A row's loss depends on its own states only, so the sum keeps the rows apart.
        total = ops.sum(loss)
    by_state, by_memory = tape.gradient(
        total, [zeros, memory_zeros], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    return Gradients(loss, tuple(ops.transpose(x, (1, 0, 2)) for x in by_state), by_memory)


def unrolled(
    encoder: Encoder, source_ids: Any, added: tuple[Any, ...]
) -> tuple[Any, tuple[Any, ...]]:
    """Runs the encoder's recurrence step by step, with a tensor added to each state.

    Args:
        encoder: forward encoder of one layer.
        source_ids: `(B, S)` int, no padding.
        added: `(S, B, U)` for each tensor of the state, added after each step.

    Returns:
        `(values (B, S, U), state)`; if zeros are added, the same as the encoder's call.
    """
    recurrent = recurrent_layer(encoder)

    def body(state: tuple[Any, ...], inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        _, after = recurrent.step(inputs[0], state)
        after = tuple(x + extra for x, extra in zip(after, inputs[1:], strict=True))
        return after, (after[0],)

    embedded = ops.transpose(encoder.embedding(source_ids), (1, 0, 2))  # (S, B, E)
    first = recurrent.initial_state(ops.shape(embedded)[1])
    state, (outputs,) = scan(body, first, (embedded, *added), (recurrent.units,))
    return ops.transpose(outputs, (1, 0, 2)), state


def recomputation_difference(encoder: Encoder, source_ids: Any) -> Any:
    """Returns the largest difference of the unrolled values and state from the encoder's own."""
    zeros = _zeros(recurrent_layer(encoder), source_ids)
    ours = unrolled(encoder, source_ids, zeros)
    encoded, (state,) = encoder(source_ids)
    both = zip(keras.tree.flatten(ours), [encoded.values, *state], strict=True)
    return ops.max(ops.stack([ops.max(ops.abs(a - b)) for a, b in both]))


def _zeros(recurrent: Any, source_ids: Any) -> tuple[Any, ...]:
    """Returns zeros `(S, B, U)` for each tensor of the state."""
    batch, length = ops.shape(source_ids)
    return tuple(
        ops.zeros((length, batch, size), recurrent.compute_dtype) for size in recurrent.state_sizes
    )


def measure(settings: Settings, seed: int, say: Any = print) -> dict[str, Any]:
    """Trains and measures; see `Settings`. Seeds count up from `seed`."""
    runs: list[dict[str, Any]] = []
    for cell in settings.cells:
        for name in settings.variants:
            for number in range(seed, seed + settings.seeds):
                model = models.make_model(models.VARIANTS[name], settings.sizes, number, cell)
                setup = {"cell": cell, "attention": name, "seed": number}
                watch = _Watch(settings)
                trained = models.train(
                    model, settings.task, settings.training, settings.sizes, number, [watch]
                )
                runs += [{**setup, **profile} for profile in watch.profiles]
                say(f"gradients: {cell}, {name}, seed {number}: {trained['seconds']:.0f} s")
    return {"settings": settings, "runs": runs}


class _Watch(keras.callbacks.Callback):
    """A callback that measures during training, on the same sequences for every model and step."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.profiles: list[dict[str, Any]] = []
        self.step = 0

    def on_train_begin(self, logs: Any = None) -> None:
        ids = tf.TensorSpec((None, None), tf.int32)

        def compute(source_ids: Any, target_ids: Any) -> tuple[Any, Any]:
            difference = recomputation_difference(self.model.encoder, source_ids)
            return difference, state_gradients(self.model, source_ids, target_ids)

        self.compute = tf.function(compute, input_signature=[ids, ids])
        self._measure()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        self._measure()

    def _measure(self) -> None:
        if self.step not in self.settings.measured_steps:
            return
        generator = np.random.default_rng(tasks.EVALUATION_SEED)
        settings = self.settings
        for length in settings.lengths:
            sequences = tasks.pairs(
                settings.task, settings.sequences, length, settings.sizes.symbols, generator
            )
            difference, gradients = self.compute(sequences.source, sequences.target)
            if difference > 1e-5:
                raise RuntimeError(
                    "The unrolled encoder must equal the encoder within 1e-5; they differ by "
                    f"{float(difference):.3g} at length {length}. `unrolled` no longer does what "
                    "Encoder does."
                )
            self.profiles.append(
                {
                    "step": self.step,
                    "length": length,
                    "loss": float(ops.mean(gradients.loss)),
                    "recomputation_difference": float(difference),
                    "norm": mean_norm(gradients.state),
                    "norm_of_h": mean_norm(gradients.state[:1]),
                    "norm_by_memory": mean_norm((gradients.memory,)),
                }
            )


def mean_norm(gradients: tuple[Any, ...]) -> list[float]:
    """Returns for each position the mean over sequences of the norm of all tensors together."""
    joined = np.concatenate([np.asarray(x, "float64") for x in gradients], axis=-1)
    return np.linalg.norm(joined, axis=-1).mean(axis=0).tolist()


def recurrent_layer(encoder: Encoder) -> Any:
    """Returns the recurrent layer of a forward encoder that has no other one."""
    if encoder.bidirectional or encoder.depth != 1 or encoder.reverse_source:
        raise ValueError(
            "State gradients need an encoder with one forward layer; got "
            f"bidirectional={encoder.bidirectional}, depth={encoder.depth}, "
            f"reverse_source={encoder.reverse_source}."
        )
    return encoder.blocks[0].recurrent
