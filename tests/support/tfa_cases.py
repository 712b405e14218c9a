"""Results of TensorFlow Addons, from tests/fixtures, and our layers with the same settings."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from keras_s2s import (
    Attention,
    ConcatScore,
    Decoder,
    Encoded,
    Monotonic,
    NormalizedConcatScore,
    load_tfa_decoder,
)

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@cache
def fixture(file: str) -> dict[str, dict[str, np.ndarray]]:
    """Returns the arrays of a file by case and name; floats are float32, as tfa computed them."""
    cases: dict[str, dict[str, np.ndarray]] = {}
    with np.load(FIXTURES / f"{file}.npz") as arrays:
        for key in arrays.files:
            case, _, name = key.rpartition("/")
            cases.setdefault(case, {})[name] = arrays[key]
    return cases


def below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): x for k, x in arrays.items() if k.startswith(prefix)}


# The options of our layers for each case, beside `COMMON`.
COMMON: dict[str, Any] = {
    "vocabulary_size": 8,
    "embedding_size": 3,
    "units": 6,
    "input_feeding": True,
    "attention_activation": "linear",
    "attention_size": 5,
}
DECODERS: dict[str, Callable[[], dict[str, Any]]] = {
    "lstm_luong": lambda: {"attention": "general"},
    "gru_bahdanau": lambda: {"cell": "gru", "attention": ConcatScore(7)},
    "stacked_lstm_luong_scale": lambda: {"depth": 2, "attention": "scaled_general"},
    "stacked_gru_bahdanau_normalize": lambda: {
        "cell": "gru",
        "depth": 2,
        "attention": NormalizedConcatScore(7),
    },
    "lstm_bahdanau_cell_output": lambda: {"attention": ConcatScore(7), "output_from": "cell"},
    "lstm_luong_context": lambda: {
        "attention_vector": "context",
        "attention_size": None,
        "attention_activation": None,
    },
    "gru_luong_tanh": lambda: {"cell": "gru", "attention_activation": "tanh"},
    "lstm_two_mechanisms": lambda: {
        "attention": ["general", NormalizedConcatScore(7)],
        "attention_size": 5 + 4,
    },
    "gru_two_contexts": lambda: {
        "cell": "gru",
        "attention": ["scaled_general", ConcatScore(7)],
        "attention_vector": "context",
        "attention_size": None,
        "attention_activation": None,
    },
    "stacked_lstm_luong_monotonic": lambda: {
        "depth": 2,
        "attention": Attention("scaled_general", Monotonic("parallel")),
    },
    "gru_bahdanau_monotonic": lambda: {
        "cell": "gru",
        "attention": Attention(NormalizedConcatScore(7), Monotonic("recursive")),
    },
}
BEAMS = [
    (width, length_weight, coverage_weight)
    for width in (1, 3, 4)
    for length_weight in (0.0, 0.8)
    for coverage_weight in (0.0, 0.5)
]


def initial_cells(arrays: dict[str, np.ndarray], name: str = "initial") -> list[list[np.ndarray]]:
    """Returns the tensors `(B, U)` of each layer, h before c."""
    found: list[list[np.ndarray]] = []
    for key in sorted(below(arrays, f"{name}.")):
        layer, _ = map(int, key.split("."))
        found.extend([] for _ in range(layer + 1 - len(found)))
        found[layer].append(arrays[f"{name}.{key}"])
    return found


def encoded(arrays: dict[str, np.ndarray]) -> Encoded:
    memory = arrays["memory"]
    return Encoded(memory, np.arange(memory.shape[1]) < arrays["lengths"][:, None])


WEIGHTS = ("embedding", "cell.", "mechanism.", "attention_layer.", "output_")


def our_decoder(case: str, arrays: dict[str, np.ndarray]) -> Decoder:
    decoder = Decoder(**{**COMMON, **DECODERS[case]()})
    load_tfa_decoder(decoder, {k: x for k, x in arrays.items() if k.startswith(WEIGHTS)})
    return decoder
