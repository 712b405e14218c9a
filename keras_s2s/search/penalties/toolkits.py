"""The length penalties of other toolkits, one class with the exact formula for each toolkit.

Log-probabilities are at most 0. Lengths are at least 1 and count the end token.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keras_s2s.search.penalties.length import LengthPenalty, named_penalty
from keras_s2s.system.checks import check_number


@named_penalty("none")
class NoPenalty(LengthPenalty):
    """No length penalty: log-probability alone ranks the hypotheses, `score = log_prob`.

    Example:
    >>> import numpy as np
    >>> NoPenalty()(np.float32([-6.0, -6.0]), np.int32([1, 7])).numpy().tolist()
    [-6.0, -6.0]
    """

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        return ops.cast(log_probs, "float32")


@named_penalty("gnmt")
class GNMT(LengthPenalty):
    """The length penalty of Google's translation system (Wu et al. 2016, eq. 14).

    `score = log_prob / ((5 + length) / 6)^weight`. The equation's coverage penalty is
    `GNMTCoverage`.

    Args:
        weight: 0 ranks by log-probability alone; larger values favour longer outputs.

    Raises:
        ValueError: If `weight` is not a number from 0 to below 100.

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
    """The length penalty of `tfa.seq2seq` (TensorFlow Addons) and of tensorflow/nmt.

    `score = log_prob / ((5 + length) / 6)^weight`, where the length counts the end token. The
    search of these toolkits leaves the end token out at the one step at which a hypothesis ends, so
    that the score changes at the next step. This penalty does not repeat that defect;
    `TFABeamSearch` does.

    Args:
        weight: the `length_penalty_weight` of these toolkits.

    Example: ((5 + 19) / 6)^½ = 2.
    >>> import numpy as np
    >>> TFA(0.5)(np.float32([-6.0]), np.int32([19])).numpy().tolist()
    [-3.0]
    """


@named_penalty("opennmt_tf")
class OpenNMTtf(GNMT):
    """The length penalty of OpenNMT-tf (Klein et al. 2017).

    `score = log_prob / ((5 + length) / 6)^weight`, where the length counts the end token.
    OpenNMT-tf's own search uses this score at the step at which a hypothesis ends, and counts one
    token more at every later step. This penalty does not repeat that defect.

    Args:
        weight: OpenNMT-tf's `length_penalty`.

    Example: ((5 + 7) / 6)^1 = 2.
    >>> import numpy as np
    >>> OpenNMTtf(1.0)(np.float32([-6.0]), np.int32([7])).numpy().tolist()
    [-3.0]
    """


@named_penalty("joeynmt")
class JoeyNMT(GNMT):
    """The length penalty of JoeyNMT (Kreutzer et al. 2019).

    `score = log_prob / ((5 + length) / 6)^weight`, where the length always counts the end token.
    JoeyNMT's own search gives the same numbers.

    Args:
        weight: JoeyNMT's `beam_alpha`. To rank without a penalty, give 0 here but −1 in JoeyNMT.

    Example: ((5 + 7) / 6)^1 = 2.
    >>> import numpy as np
    >>> JoeyNMT(1.0)(np.float32([-6.0]), np.int32([7])).numpy().tolist()
    [-3.0]
    """


@named_penalty("google_seq2seq")
class GoogleSeq2Seq(GNMT):
    """The length penalty of google/seq2seq (Britz et al. 2017).

    `score = log_prob / ((5 + length − 1) / 6)^weight`. google/seq2seq does not count the end token,
    so a hypothesis of only the end token has the length 0 there.

    Args:
        weight: google/seq2seq's `length_penalty_weight`.

    Example: 8 tokens with the end token are 7 without it, and ((5 + 7) / 6)^1 = 2.
    >>> import numpy as np
    >>> GoogleSeq2Seq(1.0)(np.float32([-6.0]), np.int32([8])).numpy().tolist()
    [-3.0]
    """

    def __call__(self, log_probs: Any, lengths: Any, source_lengths: Any = None) -> Any:
        return super().__call__(log_probs, ops.cast(lengths, "float32") - 1.0)


@named_penalty("sockeye")
class Sockeye(LengthPenalty):
    """The length normalisation of Sockeye (Hieber et al. 2018), with an optional brevity penalty.

    `score = log_prob · ((beta + 1) / (beta + length))^alpha + brevity_weight · brevity`, where
    `brevity = min(0, 1 − length_ratio · source_length / length)` is the logarithm of BLEU's brevity
    penalty for a reference of `length_ratio · source_length` tokens. `beta = 5` makes the first
    summand GNMT's score.

    Args:
        alpha: exponent. 0 leaves the log-probability unchanged, and larger values favour longer
            outputs.
        beta: the number that is added to the length.
        brevity_weight: factor on the brevity penalty. Values other than 0 need `source_lengths`.
        length_ratio: expected target tokens for each source token.

    Raises:
        ValueError: If an argument is out of its range, or if a call with a brevity penalty gets no
            `source_lengths`.

    Example: the first score is −6 · 1/3; the second pays 0.5 · (1 − 6/3) for half the length.
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
    """The length normalisation and word penalty of Marian (Junczys-Dowmunt et al. 2018).

    `score = (log_prob − word_penalty · length) / length^normalize`. With a word penalty, scores may
    rise up to some length and fall from there on; `bound` finds that length.

    Args:
        normalize: the exponent of the length. 0 is no normalisation, which is Marian's default. 1
            divides by the length, like Marian's `--normalize` without a number.
        word_penalty: the number that each token costs. A negative number is a reward.

    Raises:
        ValueError: If an argument is out of its range.

    Example: the score is (−6 − 0.5 · 3) / 3.
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
        # With p the log-probability, n the exponent, w the word penalty and l the length, the
        # derivative of the score by l is l^(−n−1) · (−n·p − w·(1 − n)·l). Where w·(1 − n) > 0 it
        # changes from plus to minus at l = −n·p / (w·(1 − n)); elsewhere it is never negative.
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
    """Checks an argument of a length penalty and returns it as a float."""
    return check_number(name, value, least, below=below, of="length penalty")
