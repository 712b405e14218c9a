"""The arrays of TensorFlow Addons from which each weight of a `Decoder` is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.layers.attention import (
    Attention,
    ConcatScore,
    GeneralScore,
    Monotonic,
    NormalizedConcatScore,
    ScaledGeneralScore,
)
from keras_s2s.layers.decoder.decoder import Decoder

ANY = "any"  # a size that no array alone decides
Shape = tuple[int | str, ...]


class WeightSource(NamedTuple):
    """A weight of the decoder, and the arrays of TensorFlow Addons from which it is made.

    Attributes:
        variable: the weight.
        arrays: shape of each array by its name.
        value: a function from these arrays to the value of the weight.
    """

    variable: Any
    arrays: dict[str, Shape]
    value: Callable[..., np.ndarray] = lambda array: array


# The array of TensorFlow Addons from which each weight of a score is made. The shapes are equal,
# except that the vector has no second axis in TensorFlow Addons.
SCORES: dict[type, dict[str, str]] = {
    GeneralScore: {"kernel": "memory_layer.kernel"},
    ScaledGeneralScore: {"kernel": "memory_layer.kernel", "gain": "attention_g"},
    ConcatScore: {
        "values_kernel": "memory_layer.kernel",
        "query_kernel": "query_layer.kernel",
        "vector": "attention_v",
    },
    NormalizedConcatScore: {
        "values_kernel": "memory_layer.kernel",
        "query_kernel": "query_layer.kernel",
        "vector": "attention_v",
        "gain": "attention_g",
        "bias": "attention_b",
    },
}


def weight_sources(decoder: Decoder, mechanisms: list[Attention]) -> list[WeightSource]:
    """Returns all weights of a built decoder with the arrays from which they are made."""

    def same(variable: Any, name: str) -> WeightSource:
        return WeightSource(variable, {name: tuple(variable.shape)})

    sources = [same(decoder.embedding.embeddings, "embedding")]
    for i, block in enumerate(decoder.blocks):
        for part in ("kernel", "recurrent_kernel", "bias"):
            sources.append(same(getattr(block.recurrent, part), f"cell.{i}.{part}"))
    for i, mechanism in enumerate(mechanisms):
        for ours, theirs in SCORES[type(mechanism.score)].items():
            variable, name = getattr(mechanism.score, ours), f"mechanism.{i}.{theirs}"
            if ours == "vector":
                shape = (variable.shape[0],)
                sources.append(WeightSource(variable, {name: shape}, lambda array: array[:, None]))
            else:
                sources.append(same(variable, name))
        if isinstance(mechanism.probability, Monotonic):
            name = f"mechanism.{i}.attention_score_bias"
            sources.append(same(mechanism.probability.offset, name))
    if decoder.attention_vector != "context":
        sources.append(_attention_layer(decoder, len(mechanisms)))
    output_layer: Any = decoder.output_layer
    for variable in output_layer.weights:
        sources.append(same(variable, f"output_layer.{variable.name}"))
    return sources


def _attention_layer(decoder: Decoder, mechanisms: int) -> WeightSource:
    """Returns the source of the attention layer's kernel, whose rows are `[contexts; h]`.

    TensorFlow Addons has one kernel for each mechanism, with the rows `[h; context]`. Their outputs
    lie side by side. Each kernel reads only one context, so its rows for the other contexts are
    zero.
    """
    attention_layer: Any = decoder.attention_layer
    kernel = attention_layer.kernel
    rows, columns = kernel.shape
    units = decoder.blocks[-1].units
    memory = (rows - units) // mechanisms

    def joined(*arrays: np.ndarray) -> np.ndarray:
        value = np.zeros((rows, sum(array.shape[1] for array in arrays)), arrays[0].dtype)
        column = 0
        for i, array in enumerate(arrays):
            block = slice(column, column + array.shape[1])
            value[i * memory : (i + 1) * memory, block] = array[units:]
            value[mechanisms * memory :, block] = array[:units]
            column += array.shape[1]
        return value

    # With several mechanisms, only the sum of their columns is known.
    shape = (units + memory, columns if mechanisms == 1 else ANY)
    names = [f"attention_layer.{i}.kernel" for i in range(mechanisms)]
    return WeightSource(kernel, dict.fromkeys(names, shape), joined)


def required_settings(decoder: Decoder, mechanisms: list[Attention]) -> dict[str, Any]:
    """Returns the settings that must agree for equal results but that no shape shows."""
    settings: dict[str, Any] = {"output_attention": decoder.output_from != "cell"}
    if decoder.attention_vector != "context":
        attention_layer: Any = decoder.attention_layer
        activation = attention_layer.activation.__name__
        settings |= {f"attention_layer.{i}.activation": activation for i in range(len(mechanisms))}
    return settings
