"""Attention over an encoded source: what is remembered, how it is scored, what comes back.

Nothing is kept on a layer between calls: memory and state are arguments everywhere, so one layer
serves training, search with any number of beams, and export. `scores`, `location` and `coverage`
hold the scores, `probability` and `monotonic` the probability functions, `windows` local
attention; `attention` joins one of each, `several` joins whole mechanisms; `mechanism` is what all
of them are.
"""

from keras_s2s.layers.attention.attention import Attention
from keras_s2s.layers.attention.coverage import CoverageScore
from keras_s2s.layers.attention.location import LocationScore
from keras_s2s.layers.attention.mechanism import Mechanism
from keras_s2s.layers.attention.memory import Encoded, Memory, values_shape
from keras_s2s.layers.attention.monotonic import Monotonic
from keras_s2s.layers.attention.probability import (
    PROBABILITIES,
    Hardmax,
    Probability,
    Softmax,
    Sparsemax,
    masked_softmax,
    named_probability,
)
from keras_s2s.layers.attention.scores import (
    SCORES,
    ConcatScore,
    DotScore,
    GeneralScore,
    NormalizedConcatScore,
    ScaledDotScore,
    ScaledGeneralScore,
    Score,
    named_score,
)
from keras_s2s.layers.attention.several import MultiHeadAttention, SeveralAttentions, mechanism
from keras_s2s.layers.attention.windows import LocalMonotonicWindow, LocalPredictiveWindow, Window

__all__ = [
    "PROBABILITIES",
    "SCORES",
    "Attention",
    "ConcatScore",
    "CoverageScore",
    "DotScore",
    "Encoded",
    "GeneralScore",
    "Hardmax",
    "LocalMonotonicWindow",
    "LocalPredictiveWindow",
    "LocationScore",
    "Mechanism",
    "Memory",
    "Monotonic",
    "MultiHeadAttention",
    "NormalizedConcatScore",
    "Probability",
    "ScaledDotScore",
    "ScaledGeneralScore",
    "Score",
    "SeveralAttentions",
    "Softmax",
    "Sparsemax",
    "Window",
    "masked_softmax",
    "mechanism",
    "named_probability",
    "named_score",
    "values_shape",
]
