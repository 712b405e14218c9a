"""What each setting of a training may be: types, choices, least values, ranges.

`settings` holds the record and says which settings exclude each other.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Literal, TypeAlias, get_args

FilePath: TypeAlias = str | os.PathLike[str]

# The command line checks its choices against these without importing the modules that own them; a
# test compares them with `text`, `recurrent` and `attention`.
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

# SentencePiece must be told a size; characters and words default to all that occur.
SUBWORD_VOCABULARY = 8000

FILES = (
    *("source", "target", "data", "val_source", "val_target", "val_data"),
    *("tokenizers_from", "source_embeddings", "target_embeddings"),
)
# The settings that a vocabulary is made by.
VOCABULARY = (
    *("source_tokenizer", "target_tokenizer"),
    *("source_vocabulary_size", "target_vocabulary_size"),
    "shared_vocabulary",
)
FLAGS = (
    *(
        "shared_vocabulary",
        "ids_on_disk",
        "bidirectional",
        "reverse_source",
        "input_feeding",
        "residual",
    ),
    *("layer_norm", "shared_embedding", "tied_embedding"),
)
CHOICES = {
    "source_tokenizer": get_args(TokenizerKind),
    "target_tokenizer": get_args(TokenizerKind),
    "cell": get_args(CellKind),
    "attention": get_args(AttentionKind),
    "probability": get_args(ProbabilityKind),
    "learning_rate_schedule": get_args(RateKind),
    "precision": get_args(PrecisionKind),
    "monitor": get_args(MonitorKind),
    "monitor_tokenize": get_args(BleuTokenizer),
}
# The least that works: 4 ids are special; the end id takes one place of each sentence.
LEAST = {
    "source_vocabulary_size": 5,
    "target_vocabulary_size": 5,
    "embedding_size": 1,
    "units": 1,
    "depth": 1,
    "batch_size": 1,
    "batch_tokens": 1,
    "length_multiple": 1,
    "epochs": 1,
    "patience": 1,
    "monitor_sentences": 1,
    "monitor_beam": 1,
    "warmup_steps": 0,
    "decay_steps": 1,
    "decay_patience": 1,
    "keep_checkpoints": 0,
    "sampled_softmax": 0,
    "max_source_length": 2,
    "max_target_length": 2,
    "beam": 1,
    "seed": 0,
}
_TINY, _HUGE = 5e-324, sys.float_info.max  # the smallest number above 0 and the largest
_SHARE = (0.0, math.nextafter(1, 0), "at least 0 and below 1")
RANGES = {
    "dropout": _SHARE,
    "recurrent_dropout": _SHARE,
    "embedding_dropout": _SHARE,
    "word_dropout": _SHARE,
    "target_word_dropout": _SHARE,
    "subword_sampling": (0.0, 1.0, "at least 0 and at most 1"),
    "label_smoothing": _SHARE,
    "r_drop": (0.0, _HUGE, "at least 0 and finite"),
    "weight_decay": (0.0, _HUGE, "at least 0 and finite"),
    "moving_average": _SHARE,
    "learning_rate": (_TINY, _HUGE, "above 0 and finite"),
    "learning_rate_decay": (_TINY, 1.0, "above 0 and at most 1"),
    "clip_norm": (_TINY, _HUGE, "above 0 and finite"),
    "length_penalty": (0.0, math.nextafter(100, 0), "at least 0 and below 100"),
}


def check_whole(name: str, value: object, least: int) -> None:
    """Raises TypeError or ValueError unless `value` is a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{name}` must be a whole number; got {value!r}.")
    if value < least or (name == "seed" and value >= 2**32):
        top = " and below 2³²" if name == "seed" else ""
        raise ValueError(f"`{name}` must be at least {least}{top}; got {value}.")


def check_number(name: str, value: object, low: float, high: float, meaning: str) -> None:
    """Raises TypeError or ValueError unless `value` is a number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"`{name}` must be a number; got {value!r}.")
    if not low <= value <= high:
        raise ValueError(f"`{name}` must be {meaning}; got {value}.")
