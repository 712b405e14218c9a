"""The types of settings, such as paths and the names among which a user chooses.

The names are written out here, because the modules that own them import Keras and the help of the
command line must not wait for it. A test compares the names here with the names in those modules.
"""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

FilePath: TypeAlias = str | os.PathLike[str]
TokenizerKind: TypeAlias = Literal["unigram", "bpe", "char", "word"]
CellKind: TypeAlias = Literal["lstm", "gru", "layer_norm_lstm"]
AttentionKind: TypeAlias = Literal[
    "dot",
    "scaled_dot",
    "general",
    "scaled_general",
    "concat",
    "normalized_concat",
    "location",
    "coverage",
    "none",
]
ProbabilityKind: TypeAlias = Literal["softmax", "sparsemax", "hardmax", "monotonic"]
RateKind: TypeAlias = Literal["plateau", "constant", "inverse_sqrt", "exponential"]
PrecisionKind: TypeAlias = Literal["float32", "bfloat16"]
MonitorKind: TypeAlias = Literal["perplexity", "bleu", "chrf", "wer", "per", "exact_match"]
BleuTokenizer: TypeAlias = Literal[
    "13a",
    "none",
    "intl",
    "char",
    "zh",
    "ja-mecab",
    "ko-mecab",
    "spm",
    "flores101",
    "flores200",
    "spBLEU-1K",
]
