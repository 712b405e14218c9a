"""Monotonic attention (Raffel et al. 2017), which reads the source forward only."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from keras_s2s.layers.attention.memory import first_real
from keras_s2s.layers.attention.probability import LOWEST, Probability, named_probability
from keras_s2s.layers.scan import Tensors, scan
from keras_s2s.system.checks import check_choice, check_number

MODES = ("recursive", "parallel", "hard")


@named_probability("monotonic")
class Monotonic(Probability):
    """Computes the expected or the hard monotonic alignment (Raffel et al. 2017, §2.2 and 2.3).

    Each step reads on from where the last step stopped and stops at position `i` with probability
    `p_i = σ(score_i + b)`. The previous weights `a⁻` say where the last step stopped; before the
    first step they are one at the first real position. The weights are

    ```
    recursive   q_i = (1 − p_{i−1})·q_{i−1} + a⁻_i,   a = p·q
    parallel    c_i = Π_{j<i} (1 − p_j),   a = p·c·cumsum(a⁻ / c)      c is kept at or above 1e-10
    hard        p_i = 1 where score_i + b > 0,   a = the first i with p_i = 1 at or after a⁻
    ```

    The mode 'recursive' is exact and loops over the source. 'parallel' is the same in closed form,
    which is less exact where `c` is tiny. 'hard' is for decoding and has no gradient. A row of
    weights sums to one or less. The rest is the probability of having stopped nowhere, and no later
    step gets it back. In hard mode, all weights are zero after a step that stopped nowhere. The
    weights of a model trained in one mode load into a model with another mode.

    Args:
        mode: 'recursive', 'parallel' or 'hard'.
        noise: standard deviation of the normal noise that training adds to the scores, which drives
            `p` towards 0 and 1; zero in hard mode.
        bias: initial value of the learned `b`; negative values such as −4 make early steps read on.

    Example: `p` is ½ everywhere, so the first step stops at 0, 1 and 2 with the probabilities ½, ¼
    and ⅛. The second step stops at 0 with ½·½; at 1 with ½ of the ½·½ that came from 0 and the ¼
    that began there; at 2 with ½ of the ½·½ that came from 1 and the ⅛ that began there.
    >>> import numpy as np
    >>> monotonic = Monotonic()
    >>> scores, mask = np.zeros((1, 1, 3), "float32"), np.ones((1, 3), bool)
    >>> monotonic.build()
    >>> (start,) = monotonic.initial_state(mask, "float32")
    >>> first = monotonic(scores, mask[:, None], start[:, None])
    >>> first.numpy().round(4).tolist()
    [[[0.5, 0.25, 0.125]]]
    >>> monotonic(scores, mask[:, None], first).numpy().round(4).tolist()
    [[[0.25, 0.25, 0.1875]]]
    """

    follows_alignment: ClassVar[bool] = True

    def __init__(
        self, mode: str = "parallel", noise: float = 0.0, bias: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_choice("mode", mode, MODES)
        check_number("noise", noise, 0)
        if mode == "hard" and noise:
            raise ValueError(
                f"Hard mode takes no noise; got mode='hard', noise={noise!r}. Train with "
                "mode='parallel' and noise, then decode with mode='hard'."
            )
        check_number("bias", bias)
        self.mode = mode
        self.deviation = noise
        self.bias = bias
        self.seeds = keras.random.SeedGenerator() if noise else None

    def build(self, scores_shape: Any = None) -> None:
        self.offset = self.add_weight(
            name="offset", shape=(), initializer=keras.initializers.Constant(self.bias)
        )

    def initial_state(self, mask: Any, dtype: str) -> Tensors:
        return (first_real(mask, dtype),)

    def advance(self, state: Tensors, weights: Any) -> Tensors:
        return (weights,)

    def noise(self, shape: tuple[Any, ...], dtype: str) -> Tensors:
        if self.seeds is None:
            return ()
        return (keras.random.normal(shape, stddev=self.deviation, dtype=dtype, seed=self.seeds),)

    def call(self, scores: Any, mask: Any, previous: Any, noise: Any = None) -> Any:
        scores = scores + ops.cast(self.offset, scores.dtype)
        if noise is not None:
            scores = scores + noise
        if self.mode == "hard":
            return _hard(ops.logical_and(scores > 0, mask), previous)
        stop = ops.sigmoid(ops.where(mask, scores, LOWEST))
        return (_recursive if self.mode == "recursive" else _parallel)(stop, previous)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mode": self.mode,
            "noise": self.deviation,
            "bias": self.bias,
        }


def _recursive(stop: Any, previous: Any) -> Any:
    """Computes the weights `p·q`, one source position after the other."""
    shape = ops.shape(stop)  # (B, T, S)

    def columns(x: Any) -> Any:
        return ops.transpose(ops.reshape(x, (-1, shape[-1])))[:, :, None]  # (S, B·T, 1)

    def step(state: Tensors, inputs: Tensors) -> tuple[Tensors, Tensors]:
        arrived = state[0] + inputs[1]
        return ((1.0 - inputs[0]) * arrived,), (arrived,)

    stop_columns, previous_columns = columns(stop), columns(previous)
    # A sum gives the shape of one column, even if the size of the batch is unknown.
    start = ops.zeros_like(ops.sum(stop_columns, axis=0))
    _, (arrived,) = scan(step, (start,), (stop_columns, previous_columns), (1,))
    return stop * ops.reshape(ops.transpose(arrived[:, :, 0]), shape)


def _parallel(stop: Any, previous: Any) -> Any:
    """Computes the expected alignment in closed form, with cumulative sums and products."""
    tiny = 1.1754944e-38  # the smallest normal float32
    passed = ops.cumsum(ops.log(ops.clip(1.0 - stop, tiny, 1.0)), axis=-1)
    passed = ops.exp(ops.concatenate([ops.zeros_like(passed[..., :1]), passed[..., :-1]], axis=-1))
    return stop * passed * ops.cumsum(previous / ops.clip(passed, 1e-10, 1.0), axis=-1)


def _hard(stop: Any, previous: Any) -> Any:
    """Returns one at the first position, from the previous one on, whose `stop` is True."""
    reached = ops.cast(stop, previous.dtype) * ops.cumsum(previous, axis=-1)
    first = ops.equal(ops.cumsum(reached, axis=-1), reached)
    return reached * ops.cast(first, previous.dtype)
