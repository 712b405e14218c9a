"""Penalties: the scores by which a beam search ranks hypotheses of different lengths.

- `length`: `LengthPenalty`, the penalties by name, `named_penalty` and `length_penalty`.
- `toolkits`: the length penalties of other toolkits, one class for each formula.
- `coverage`: `CoveragePenalty` and `GNMTCoverage`, which look at the attention weights.

A new length penalty is one subclass of `LengthPenalty` under `@named_penalty("its_name")`.
"""

from keras_s2s.search.penalties.coverage import CoveragePenalty, GNMTCoverage
from keras_s2s.search.penalties.length import (
    PENALTIES,
    LengthPenalty,
    length_penalty,
    named_penalty,
)
from keras_s2s.search.penalties.toolkits import (
    GNMT,
    TFA,
    GoogleSeq2Seq,
    JoeyNMT,
    Marian,
    NoPenalty,
    OpenNMTtf,
    Sockeye,
)

__all__ = [
    "GNMT",
    "PENALTIES",
    "TFA",
    "CoveragePenalty",
    "GNMTCoverage",
    "GoogleSeq2Seq",
    "JoeyNMT",
    "LengthPenalty",
    "Marian",
    "NoPenalty",
    "OpenNMTtf",
    "Sockeye",
    "length_penalty",
    "named_penalty",
]
