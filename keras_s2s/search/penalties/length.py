"""Length penalties, which turn log-probability and length into the score that ranks hypotheses.

This module holds the base class and the registry of penalties by name. The formulas are in
`toolkits.py`. Log-probabilities are at most 0. Lengths are at least 1 and count the end token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

PENALTIES: dict[str, type[LengthPenalty]] = {}


class LengthPenalty:
    """The base of length penalties: `penalty(log_probs, lengths, source_lengths) -> scores`.

    A subclass implements `__call__`, whose scores must rise with the log-probability. A penalty
    that neither only rises nor only falls with the length also overrides `bound`, which beam search
    uses to stop early. `named_penalty` gives a penalty a name and lets Keras save it.

    Example: scores that are half the log-probability.
    >>> class Halved(LengthPenalty):
    ...     def __call__(self, log_probs, lengths, source_lengths=None):
    ...         return log_probs / 2
    >>> search = BeamSearch(4, Halved())
    """

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        """Computes scores. A higher score is better.

        Args:
            log_probs: float32 of any shape, the sums of the tokens' log-probabilities.
            lengths: int32 that broadcasts with `log_probs`, numbers of target tokens with the end
                token.
            source_lengths: int32 that broadcasts with `log_probs`, numbers of real source tokens;
                None if `needs_source` is False.

        Returns:
            float32 of the shape of `log_probs`.
        """
        raise NotImplementedError

    def bound(self, log_probs: Any, shortest: Any, longest: Any, source_lengths: Any = None) -> Any:
        """Computes the best score that a hypothesis can still reach when it goes on.

        The log-probability can only fall, and its final length is between `shortest` and `longest`.
        The better score of these two lengths is exact for a penalty that only rises or only falls
        with the length.

        Args:
            log_probs: float32 of any shape, the log-probabilities so far.
            shortest: int32 that broadcasts with `log_probs`, the least final length.
            longest: int32 that broadcasts with `log_probs`, the greatest final length.
            source_lengths: as for a call.

        Returns:
            float32 of the shape of `log_probs`.
        """
        return ops.maximum(
            self(log_probs, shortest, source_lengths), self(log_probs, longest, source_lengths)
        )

    @property
    def needs_source(self) -> bool:
        """Whether the penalty reads the source lengths."""
        return False

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments from which `from_config` makes an equal penalty."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LengthPenalty:
        """Makes the penalty that `get_config` described."""
        return cls(**config)


def named_penalty(name: str) -> Callable[[type[LengthPenalty]], type[LengthPenalty]]:
    """Makes a class decorator that registers a `LengthPenalty` under a name.

    From then on `length_penalty(name)`, `BeamSearch(length_penalty=name)` and the option
    `--length-penalty name` make this penalty with its default arguments, and Keras saves and loads
    it with a model. A second class of the same name replaces the first.

    Args:
        name: the word by which the penalty is asked for.

    Returns:
        A decorator that returns the class unchanged.

    Example: a reward for each token, as Murray & Chiang (2018) give.
    >>> import numpy as np
    >>> @named_penalty("word_reward")
    ... class WordReward(LengthPenalty):
    ...     def __init__(self, reward=0.5):
    ...         self.reward = reward
    ...     def __call__(self, log_probs, lengths, source_lengths=None):
    ...         return log_probs + self.reward * ops.cast(lengths, "float32")
    ...     def get_config(self):
    ...         return {"reward": self.reward}
    >>> length_penalty("word_reward")(np.float32([-6.0]), np.int32([4])).numpy().tolist()
    [-4.0]
    """

    def register(kind: type[LengthPenalty]) -> type[LengthPenalty]:
        PENALTIES[name] = kind
        return keras.saving.register_keras_serializable(package="keras_s2s")(kind)

    return register


def length_penalty(value: LengthPenalty | float | str) -> LengthPenalty:
    """Makes a `LengthPenalty` from a name or a number. A given penalty is returned unchanged.

    Args:
        value: a `LengthPenalty`, the weight of `GNMT`, or a name in `PENALTIES`, which gives the
            penalty with its default arguments.

    Raises:
        ValueError: If `value` is anything else, or a number that `GNMT` refuses.

    Example:
    >>> length_penalty(0.6).get_config()
    {'weight': 0.6}
    >>> length_penalty("sockeye").get_config()
    {'alpha': 1.0, 'beta': 0.0, 'brevity_weight': 0.0, 'length_ratio': 1.0}
    """
    if isinstance(value, LengthPenalty):
        return value
    if isinstance(value, str) and value in PENALTIES:
        return PENALTIES[value]()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return PENALTIES["gnmt"](weight=value)  # type: ignore[call-arg]
    raise ValueError(
        f"`length_penalty` must be one of {', '.join(map(repr, PENALTIES))}, a number (the weight "
        "of GNMT) or an instance of a LengthPenalty, such as GNMT(0.6); got "
        f"length_penalty={value!r}."
    )
