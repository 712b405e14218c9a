"""Learning rates that change with every step, for `learning_rate` of any Keras optimizer.

To lower the rate when a value stops improving, use Keras' callback `ReduceLROnPlateau`. It can also
watch the values of `BLEU`, `WER` and the other metrics of decoded texts.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.system.checks import check_number, check_size


@keras.saving.register_keras_serializable(package="keras_s2s")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises, then falls with the inverse square root of the update number.

    ```
    rate(n) = learning_rate · min(n / warmup_steps, √(warmup_steps / n))
    ```

    where n is the number of the update, counted from 1; Keras passes n − 1. The schedule is that of
    Vaswani et al. 2017, §5.3. Their formula for layers of width d is this one with `learning_rate`
    = 1 / √(d · warmup_steps).

    Args:
        learning_rate: the highest rate, which update number `warmup_steps` has.
        warmup_steps: number of updates in which the rate rises.

    Raises:
        ValueError: If `learning_rate` is negative or not a number, or if `warmup_steps` is not a
            positive integer.

    Example:
    >>> rate = InverseSquareRoot(1e-3, warmup_steps=100)
    >>> [round(float(rate(update - 1)), 6) for update in (1, 50, 100, 400)]
    [1e-05, 0.0005, 0.001, 0.0005]
    """

    def __init__(self, learning_rate: float, warmup_steps: int) -> None:
        check_number("learning_rate", learning_rate, 0)
        check_size("warmup_steps", warmup_steps)
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        update = ops.cast(step, "float32") + 1.0
        share = update / self.warmup_steps
        return self.learning_rate * ops.minimum(share, ops.rsqrt(share))

    def get_config(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable(package="keras_s2s")
class WarmupExponential(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises, then falls by the same factor in every `decay_steps` updates.

    ```
    rate(n) = learning_rate · n / warmup_steps                                   n ≤ warmup_steps
              max(minimum, learning_rate · decay_rate^((n − warmup_steps) / decay_steps))    after
    ```

    where n is the number of the update, counted from 1; Keras passes n − 1.

    Args:
        learning_rate: the highest rate.
        decay_rate: the factor by which the rate falls in a period, above 0 and at most 1.
        decay_steps: number of updates in a period. The rate falls smoothly within the period.
        warmup_steps: number of updates in which the rate rises; 0 starts at the highest rate.
        minimum: the rate at which the fall ends.

    Raises:
        ValueError: If a number is out of its range.

    Example:
    >>> rate = WarmupExponential(1e-3, decay_rate=0.5, decay_steps=100, warmup_steps=10)
    >>> [round(float(rate(update - 1)), 6) for update in (1, 10, 110, 210)]
    [0.0001, 0.001, 0.0005, 0.00025]
    """

    def __init__(
        self,
        learning_rate: float,
        decay_rate: float,
        decay_steps: int,
        *,
        warmup_steps: int = 0,
        minimum: float = 0.0,
    ) -> None:
        check_number("learning_rate", learning_rate, 0)
        check_number("decay_rate", decay_rate, 0)
        check_number("minimum", minimum, 0)
        if not 0 < decay_rate <= 1:
            raise ValueError(
                f"`decay_rate` must be above 0 and at most 1; got decay_rate={decay_rate!r}."
            )
        if minimum > learning_rate:
            raise ValueError(
                "`minimum` must be at most `learning_rate`; got "
                f"minimum={minimum!r}, learning_rate={learning_rate!r}."
            )
        check_size("decay_steps", decay_steps)
        if warmup_steps != 0:
            check_size("warmup_steps", warmup_steps)
        self.learning_rate = learning_rate
        self.decay_rate = decay_rate
        self.decay_steps = decay_steps
        self.warmup_steps = warmup_steps
        self.minimum = minimum

    def __call__(self, step: Any) -> Any:
        update = ops.cast(step, "float32") + 1.0
        beyond = ops.maximum(update - self.warmup_steps, 0.0)
        falling = self.learning_rate * ops.power(self.decay_rate, beyond / self.decay_steps)
        rising = self.learning_rate * update / max(self.warmup_steps, 1)
        return ops.where(update <= self.warmup_steps, rising, ops.maximum(self.minimum, falling))

    def get_config(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "decay_rate": self.decay_rate,
            "decay_steps": self.decay_steps,
            "warmup_steps": self.warmup_steps,
            "minimum": self.minimum,
        }
