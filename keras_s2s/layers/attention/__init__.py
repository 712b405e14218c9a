"""Attention: for every decoder state, weights over the encoded source and their weighted mean.

A score says how well a query matches each key, a probability function turns scores into weights,
and an optional window limits the weights to a stretch of the source. `Attention` joins one of each.
A layer keeps nothing between calls: memory and state are arguments everywhere, so one layer serves
training, search with any number of beams, and export.

- `attention`: the layer `Attention`, made of a score, a probability function and a window.
- `scores`: the base class of scores, and the scores that see query and values alone: dot, general
  and concat, with their scaled and normalised forms.
- `location`: the concat score that also sees where the previous step attended.
- `coverage`: the concat score that also sees how much each source token was attended to so far.
- `probability`: the base class of probability functions, and softmax, hardmax and sparsemax.
- `monotonic`: the probability function that reads the source forward only.
- `windows`: the base class of windows, and the two windows of local attention.
- `heads`: multi-head attention, one `Attention` for each head over projections of its own.
- `several`: several mechanisms at once, and `resolved_mechanism`, which reads a user's argument.
- `group`: the base class of `heads` and `several`, whose mechanisms attend side by side.
- `mechanism`: the base class of all mechanisms: memory, state, one step, and a whole sequence.
- `memory`: the encoded source, the memory that a mechanism makes from it, and their checks.

To write a score, a probability function, a window or a whole mechanism of your own, start from the
example of `named_score`, `Window` or `Mechanism`, or from the base class `Probability`.
"""

from keras_s2s.layers.attention.attention import Attention
from keras_s2s.layers.attention.coverage import CoverageScore
from keras_s2s.layers.attention.heads import MultiHeadAttention
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
from keras_s2s.layers.attention.several import SeveralAttentions, resolved_mechanism
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
    "named_probability",
    "named_score",
    "resolved_mechanism",
    "values_shape",
]
