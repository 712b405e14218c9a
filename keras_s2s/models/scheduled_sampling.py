"""Scheduled sampling, in which training reads some of the model's tokens, not the true ones."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.layers.attention import Memory
from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.layers.stack import State
from keras_s2s.system.checks import check_number


class Schedule:
    """The base class of schedules of the probability that training reads the true token. Abstract.

    A schedule gives a probability for each step of the optimizer.
    """

    def __call__(self, step: Any) -> Any:
        """Returns the probability at `step`, a scalar float tensor counted from 0."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_s2s")
class ConstantSchedule(Schedule):
    """A schedule with the same probability at every step. 1 is pure teacher forcing.

    Args:
        probability: probability of reading the true token.

    Example:
    >>> ConstantSchedule(0.75)(100.0)
    0.75
    """

    def __init__(self, probability: float) -> None:
        check_number("probability", probability, 0, most=1)
        self.probability = probability

    def __call__(self, step: Any) -> Any:
        return self.probability

    def get_config(self) -> dict[str, Any]:
        return {"probability": self.probability}


@keras.saving.register_keras_serializable(package="keras_s2s")
class LinearSchedule(Schedule):
    """A linearly falling schedule: `max(minimum, start − slope·step)` (Bengio et al. 2015, §2.4).

    Args:
        slope: decrease of the probability with each step.
        start: probability at step 0.
        minimum: probability below which the schedule does not fall.

    Example:
    >>> float(LinearSchedule(slope=0.001, minimum=0.25)(500.0))
    0.5
    """

    def __init__(self, slope: float, start: float = 1.0, minimum: float = 0.0) -> None:
        check_number("slope", slope, 0, most=1)
        check_number("start", start, 0, most=1)
        check_number("minimum", minimum, 0, most=start)
        self.slope = slope
        self.start = start
        self.minimum = minimum

    def __call__(self, step: Any) -> Any:
        return ops.maximum(self.minimum, self.start - self.slope * step)

    def get_config(self) -> dict[str, Any]:
        return {"slope": self.slope, "start": self.start, "minimum": self.minimum}


@keras.saving.register_keras_serializable(package="keras_s2s")
class ExponentialSchedule(Schedule):
    """An exponential schedule: `base^step`, `base < 1` (Bengio et al. 2015, §2.4).

    Args:
        base: probability after one step.

    Example:
    >>> round(float(ExponentialSchedule(0.999)(1000.0)), 3)
    0.368
    """

    def __init__(self, base: float) -> None:
        check_number("base", base, 0, most=1)
        self.base = base

    def __call__(self, step: Any) -> Any:
        return ops.power(self.base, step)

    def get_config(self) -> dict[str, Any]:
        return {"base": self.base}


@keras.saving.register_keras_serializable(package="keras_s2s")
class InverseSigmoidSchedule(Schedule):
    """An inverse sigmoid schedule: `k / (k + exp(step / k))`, `k ≥ 1` (Bengio et al. 2015, §2.4).

    Args:
        k: slowness of the fall. The probability is ½ at step `k·ln k`.

    Example:
    >>> float(InverseSigmoidSchedule(1.0)(0.0))
    0.5
    """

    def __init__(self, k: float) -> None:
        check_number("k", k, 1)
        self.k = k

    def __call__(self, step: Any) -> Any:
        # The same as σ(ln k − step / k), which cannot overflow.
        return ops.sigmoid(ops.log(self.k) - step / self.k)

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k}


def mixed_tokens(
    decoder: Decoder,
    target_ids: Any,
    state: State,
    memory: Memory,
    probability: Any,
    seed: Any,
    pad_id: int,
) -> Any:
    """Replaces some target ids by ids drawn from the decoder (Bengio et al. 2015).

    Each row is mixed on its own, step by step. Each token after the first stays with `probability`.
    Otherwise it is replaced by a token that is drawn from the decoder's own distribution, given the
    mixed tokens before it. No gradient flows through the choice, so the loop only runs forward. The
    decoder then trains on the result with teacher forcing, with all steps at once if its design
    allows it.

    Args:
        decoder: a built `Decoder`. Its dropout is off while it draws.
        target_ids: `(B, T)` int, the start token first.
        state: the decoder's first state.
        memory: a `Memory`.
        probability: probability of keeping the true token, scalar.
        seed: a `keras.random.SeedGenerator`.
        pad_id: id of padding, which is never replaced.

    Returns:
        Mixed ids `(B, T)` int32.
    """
    target_ids = ops.cast(target_ids, "int32")
    shape = ops.shape(target_ids)
    stays = keras.random.uniform(shape, seed=seed) < ops.cast(probability, "float32")
    stays = ops.logical_or(stays, ops.equal(target_ids, pad_id))
    points = keras.random.uniform(shape, seed=seed)
    initial_state = decoder.initial_state(state, memory)
    # The loop carries the token that was drawn last. No step draws the start token, so the loop
    # begins with it as if it had been drawn.
    carried = (target_ids[:, 0], *keras.tree.flatten(initial_state))

    def step(carried: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
        true_token, stays, point = inputs
        token = ops.where(stays, true_token, carried[0])
        state = keras.tree.pack_sequence_as(initial_state, list(carried[1:]))
        logits, state, _ = decoder.step(token, state, memory)
        # Inverting the distribution function at a uniform point in [0, 1) draws from the
        # distribution. The drawn token is the first one at which the function is above the point.
        cumulative = ops.cumsum(ops.softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)
        drawn = ops.sum(ops.cast(cumulative <= point[:, None], "int32"), axis=-1)
        drawn = ops.minimum(drawn, decoder.vocabulary_size - 1)
        return (drawn, *keras.tree.flatten(state)), (token[:, None],)

    columns = (ops.transpose(x) for x in (target_ids, stays, points))
    _, (mixed,) = scan(step, carried, tuple(columns), (1,), ("int32",))
    return ops.stop_gradient(ops.transpose(mixed[:, :, 0]))
