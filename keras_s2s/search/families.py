"""The length penalties of other toolkits, by name: each family one class and its exact formula.

Log-probabilities are at most 0, lengths at least 1; a length counts the end token.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keras_s2s.search.penalties import LengthPenalty, named_penalty
from keras_s2s.system.checks import check_number


@named_penalty("none")
class NoPenalty(LengthPenalty):
    """Ranks by log-probability alone: `score = log_prob`.

    Example:
    >>> import numpy as np
    >>> NoPenalty()(np.float32([-6.0, -6.0]), np.int32([1, 7])).numpy().tolist()
    [-6.0, -6.0]
    """

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        return ops.cast(log_probs, "float32")


@named_penalty("gnmt")
class GNMT(LengthPenalty):
    """`score = log_prob / ((5 + length) / 6)^weight` (Wu et al. 2016, eq. 14, without coverage).

    Args:
        weight: 0 ranks by log-probability alone; larger values favour longer outputs.

    Example:
    >>> import numpy as np
    >>> GNMT(1.0)(np.float32([-6.0, -6.0]), np.int32([1, 7])).numpy().tolist()
    [-6.0, -3.0]
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = _number("weight", weight, 0, below=100)

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        log_probs = ops.cast(log_probs, "float32")
        if self.weight == 0:
            return log_probs
        divisors = ops.power((5.0 + ops.cast(lengths, "float32")) / 6.0, self.weight)
        return ops.divide(log_probs, divisors)

    def get_config(self) -> dict[str, Any]:
        return {"weight": self.weight}


@named_penalty("tfa")
class TFA(GNMT):
    """`tfa.seq2seq` and tensorflow/nmt: `score = log_prob / ((5 + length) / 6)^weight`.

    The length counts the end token. Their own search counts otherwise at the one step at which a
    hypothesis ends: there the end token is left out, so the score changes at the next step. That
    defect is not repeated here; `TFABeamSearch` repeats it.

    Args:
        weight: their `length_penalty_weight`.

    Example: ((5 + 19) / 6)^½ = 2.
    >>> import numpy as np
    >>> TFA(0.5)(np.float32([-6.0]), np.int32([19])).numpy().tolist()
    [-3.0]
    """


@named_penalty("opennmt_tf")
class OpenNMTtf(GNMT):
    """OpenNMT-tf (Klein et al. 2017): `score = log_prob / ((5 + length) / 6)^weight`.

    The length counts the end token. Its own search ranks a hypothesis so at the step at which it
    ends, and as if it were one token longer at every step after. That defect is not repeated.

    Args:
        weight: its `length_penalty`.

    Example: ((5 + 7) / 6)^1 = 2.
    >>> import numpy as np
    >>> OpenNMTtf(1.0)(np.float32([-6.0]), np.int32([7])).numpy().tolist()
    [-3.0]
    """


@named_penalty("joeynmt")
class JoeyNMT(GNMT):
    """JoeyNMT (Kreutzer et al. 2019): `score = log_prob / ((5 + length) / 6)^weight`.

    The length counts the end token, at the step at which a hypothesis ends and ever after, as its
    own search does: the same numbers.

    Args:
        weight: its `beam_alpha`; no penalty there is −1, here 0.

    Example: ((5 + 7) / 6)^1 = 2.
    >>> import numpy as np
    >>> JoeyNMT(1.0)(np.float32([-6.0]), np.int32([7])).numpy().tolist()
    [-3.0]
    """


@named_penalty("google_seq2seq")
class GoogleSeq2Seq(GNMT):
    """google/seq2seq (Britz et al. 2017): `score = log_prob / ((5 + length − 1) / 6)^weight`.

    The end token is not counted: a hypothesis of the end token alone has the length 0.

    Args:
        weight: its `length_penalty_weight`.

    Example: 8 tokens with the end, 7 without, and ((5 + 7) / 6)^1 = 2.
    >>> import numpy as np
    >>> GoogleSeq2Seq(1.0)(np.float32([-6.0]), np.int32([8])).numpy().tolist()
    [-3.0]
    """

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        return super().__call__(log_probs, ops.cast(lengths, "float32") - 1.0)


@named_penalty("sockeye")
class Sockeye(LengthPenalty):
    """Sockeye (Hieber et al. 2018): a length normalisation, and a brevity penalty on request.

    `score = log_prob · ((beta + 1) / (beta + length))^alpha + brevity_weight · brevity`, where
    `brevity = min(0, 1 − length_ratio · source_length / length)`, which is the logarithm of BLEU's
    brevity penalty with a guessed reference length. `beta = 5` makes the first part GNMT's.

    Args:
        alpha: 0 leaves the log-probability as it is; larger values favour longer outputs.
        beta: what is added to the length.
        brevity_weight: 0 leaves the brevity penalty out; else scores need `source_lengths`.
        length_ratio: reference tokens per source token.

    Example: −6 · 1/3, and then 0.5 · (1 − 6/3) for being half as long as the source.
    >>> import numpy as np
    >>> Sockeye()(np.float32([-6.0]), np.int32([3])).numpy().tolist()
    [-2.0]
    >>> short = Sockeye(brevity_weight=0.5)
    >>> short(np.float32([-6.0]), np.int32([3]), np.int32([6])).numpy().tolist()
    [-2.5]
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 0.0,
        brevity_weight: float = 0.0,
        length_ratio: float = 1.0,
    ) -> None:
        self.alpha = _number("alpha", alpha, 0, below=100)
        self.beta = _number("beta", beta, 0)
        self.brevity_weight = _number("brevity_weight", brevity_weight, 0)
        self.length_ratio = _number("length_ratio", length_ratio, 0)

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        lengths = ops.cast(lengths, "float32")
        shrunk = ops.power((self.beta + 1.0) / (self.beta + lengths), self.alpha)
        scores = ops.multiply(ops.cast(log_probs, "float32"), shrunk)
        if self.brevity_weight == 0:
            return scores
        if source_lengths is None:
            raise ValueError(
                "Sockeye's brevity penalty needs the lengths of the sources; got "
                f"source_lengths=None with brevity_weight={self.brevity_weight}. Give the search "
                "a `source_mask`, or take brevity_weight=0."
            )
        expected = self.length_ratio * ops.cast(source_lengths, "float32")
        brevity = ops.minimum(0.0, 1.0 - expected / lengths)
        return scores + self.brevity_weight * brevity

    @property
    def needs_source(self) -> bool:
        return self.brevity_weight != 0

    def get_config(self) -> dict[str, Any]:
        names = ("alpha", "beta", "brevity_weight", "length_ratio")
        return {name: getattr(self, name) for name in names}


@named_penalty("marian")
class Marian(LengthPenalty):
    """Marian: `score = (log_prob − word_penalty · length) / length^normalize`.

    Junczys-Dowmunt et al. (2018). With a word penalty, scores may rise with the length up to some
    length and fall from there on; `bound` finds it.

    Args:
        normalize: 0 is no normalisation, Marian's own default; 1, what its bare `--normalize`
            means, divides by the length.
        word_penalty: taken off for each token; below zero, a reward.

    Example: (−6 − 0.5 · 3) / 3.
    >>> import numpy as np
    >>> Marian(word_penalty=0.5)(np.float32([-6.0]), np.int32([3])).numpy().tolist()
    [-2.5]
    """

    def __init__(self, normalize: float = 1.0, word_penalty: float = 0.0) -> None:
        self.normalize = _number("normalize", normalize, 0, below=100)
        self.word_penalty = _number("word_penalty", word_penalty)

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        lengths = ops.cast(lengths, "float32")
        scores = ops.subtract(ops.cast(log_probs, "float32"), self.word_penalty * lengths)
        return ops.divide(scores, ops.power(lengths, self.normalize))

    def bound(self, log_probs: Any, shortest: Any, longest: Any, source_lengths: Any = None) -> Any:
        # With p the log-probability, n the exponent, w the word penalty, the derivative by the
        # length l is l^(−n−1) · (−n·p − w·(1 − n)·l): from plus to minus at the peak below where
        # w·(1 − n) > 0, else never below zero.
        falls = self.word_penalty * (1 - self.normalize)
        if falls <= 0:
            return super().bound(log_probs, shortest, longest)
        peak = ops.floor(ops.multiply(ops.cast(log_probs, "float32"), -self.normalize / falls))
        shortest, longest = ops.cast(shortest, "float32"), ops.cast(longest, "float32")
        below, above = (
            ops.minimum(ops.maximum(near, shortest), longest) for near in (peak, peak + 1.0)
        )
        return super().bound(log_probs, below, above)

    def get_config(self) -> dict[str, Any]:
        return {"normalize": self.normalize, "word_penalty": self.word_penalty}


def _number(name: str, value: Any, least: float = -math.inf, below: float = math.inf) -> float:
    """A checked argument of a length penalty."""
    return check_number(name, value, least, below=below, of="length penalty")
