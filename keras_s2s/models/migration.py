"""Loads the weights of a decoder that was trained with TensorFlow Addons into a `Decoder`.

The weights come as plain arrays, so TensorFlow Addons need not be installed.
docs/migrating_from_tfa.md shows how to get the arrays. `tfa_weights` holds the correspondence
between arrays and weights. This module checks the decoder and the arrays, and assigns the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_s2s.layers.attention import Attention, Hardmax, Monotonic, SeveralAttentions, Softmax
from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.recurrent import GRU, LSTM
from keras_s2s.models.tfa_weights import (
    ANY,
    SCORES,
    Shape,
    WeightSource,
    required_settings,
    weight_sources,
)
from keras_s2s.system.checks import check_instance

Arrays = dict[str, np.ndarray]


def load_tfa_decoder(decoder: Decoder, weights: Mapping[str, Any]) -> None:
    """Loads the weights of a `tfa.seq2seq.AttentionWrapper`, its embedding and its output layer.

    The decoder must be made like the wrapper:

    - `cell='lstm'` or `'gru'`, and as many layers as the wrapper has;
    - `input_feeding=True`;
    - `attention_vector='layer'` with the wrapper's `attention_layer_size`, and
      `attention_activation='linear'` unless the wrapper had another activation;
    - `attention_vector='context'` instead, if the wrapper had no attention layer;
    - `output_from='cell'`, if the wrapper had `output_attention=False`;
    - the wrapper's mechanisms, in their order.

    A decoder that is not built yet is built here.

    The names in `weights` count layers and mechanisms `i` from 0. `E`, `U` and `M` are the widths
    of the embedding, the cells and the memory. `V` is the vocabulary size, `A` the width of
    Bahdanau's projections, `G` the number of gates and `N` the width of one attention layer:

    ```
    embedding                              (V, E)
    cell.i.kernel, .recurrent_kernel       (…, G·U), (U, G·U)
    cell.i.bias                            (4·U,) of an LSTM, (2, 3·U) of a GRU
    mechanism.i.memory_layer.kernel        (M, U) of Luong's, (M, A) of Bahdanau's
    mechanism.i.query_layer.kernel         (U, A), Bahdanau's
    mechanism.i.attention_v                (A,), Bahdanau's
    mechanism.i.attention_g                (), with scale=True or normalize=True
    mechanism.i.attention_b                (A,), with normalize=True
    mechanism.i.attention_score_bias       (), the monotonic ones
    attention_layer.i.kernel               (U + M, N), one per mechanism
    attention_layer.i.activation           its name, such as 'linear'
    output_layer.kernel, .bias             (…, V), (V,)
    output_attention                       True or False
    ```

    The activation and `output_attention` are required, because no shape would show that they
    differ.

    Args:
        decoder: a `Decoder`, built or not. Its weights are overwritten.
        weights: arrays by name.

    Raises:
        ValueError: If the decoder computes something that no decoder of TensorFlow Addons does, or
            if names, shapes or settings do not fit. The message lists every difference, and no
            weight is assigned.
        TypeError: If `decoder` is not a `Decoder`.

    Example: the error if the embedding is left out.
    >>> decoder = Decoder(
    ...     vocabulary_size=9,
    ...     embedding_size=4,
    ...     units=6,
    ...     input_feeding=True,
    ...     attention_vector="context",
    ... )
    >>> weights = {"mechanism.0.memory_layer.kernel": np.ones((5, 6), "float32")}
    >>> try:
    ...     load_tfa_decoder(decoder, weights)
    ... except ValueError as error:
    ...     print(str(error).splitlines()[1])
    - 'embedding' is missing; expected an array of shape (9, 4).
    """
    check_instance("decoder", decoder, Decoder)
    _raise("This decoder computes what no tfa decoder does:", _foreign_options(decoder))
    arrays = {name: np.asarray(value) for name, value in weights.items()}
    mechanisms = _mechanisms(decoder)
    _build(decoder, arrays)
    sources = weight_sources(decoder, mechanisms)
    problems = _differences(sources, required_settings(decoder, mechanisms), arrays)
    _raise("These weights do not fit this decoder:", problems)
    values = [source.value(*(arrays[name] for name in source.arrays)) for source in sources]
    _raise("These weights do not fit this decoder:", _wrong_totals(sources, values))
    for source, value in zip(sources, values, strict=True):
        source.variable.assign(value)


def _foreign_options(decoder: Decoder) -> list[str]:
    """Describes the decoder's options that have no counterpart in TensorFlow Addons."""
    supported = {
        "input_feeding": (True,),
        "attend_with": ("current",),
        "attention_in": ("last",),
        "attention_vector": ("layer", "context", None),
        "residual": (False,),
        "layer_norm": (False,),
        "tied_embedding": (False,),
    }
    problems = [
        f"`{name}` must be {' or '.join(map(repr, allowed))}; got {getattr(decoder, name)!r}."
        for name, allowed in supported.items()
        if getattr(decoder, name) not in allowed
    ]
    for i, block in enumerate(decoder.blocks):
        if type(block.recurrent) not in (LSTM, GRU):
            problems.append(
                f"Layer {i} must be 'lstm' or 'gru'; got {type(block.recurrent).__name__}."
            )
    if decoder.attention is None:
        problems.append("`attention` must be a mechanism; got None.")
    return problems


def _mechanisms(decoder: Decoder) -> list[Attention]:
    """Returns the decoder's mechanisms, or raises ValueError if TensorFlow Addons lacks one."""
    attention: Any = decoder.attention
    members = attention.members if isinstance(attention, SeveralAttentions) else [attention]
    problems = []
    for i, member in enumerate(members):
        score = getattr(member, "score", member)
        if not isinstance(member, Attention) or type(score) not in SCORES:
            known = ", ".join(kind.__name__ for kind in SCORES)
            problems.append(
                f"Mechanism {i} must be an Attention with one of {known}; "
                f"got {type(member).__name__} with {type(score).__name__}."
            )
            continue
        if type(member.probability) not in (Softmax, Hardmax, Monotonic):
            problems.append(
                f"Mechanism {i} must have the probability 'softmax', 'hardmax' or 'monotonic'; "
                f"got {type(member.probability).__name__}."
            )
        if member.window is not None:
            problems.append(
                f"Mechanism {i} must have no window; got {type(member.window).__name__}."
            )
    _raise("This decoder computes what no tfa decoder does:", problems)
    return members


def _build(decoder: Decoder, arrays: Arrays) -> None:
    """Makes the decoder's weights, for a memory as wide as in the arrays."""
    if decoder.built:
        return
    name = "mechanism.0.memory_layer.kernel"
    if name not in arrays or arrays[name].ndim != 2:
        received = f"an array of shape {arrays[name].shape}" if name in arrays else "none"
        raise ValueError(
            f"{name!r} must be an array of shape (memory width, units), from which a decoder that "
            f"is not built yet takes the memory width; got {received}."
        )
    state = [[(None, size) for size in layer] for layer in decoder.state_sizes]
    decoder.build((None, None), state, (None, None, arrays[name].shape[0]))


def _differences(
    sources: list[WeightSource], settings: dict[str, Any], arrays: Arrays
) -> list[str]:
    """Describes arrays that are missing, have a wrong shape, dtype or value, or are not needed."""
    expected = {name: shape for source in sources for name, shape in source.arrays.items()}
    problems = []
    for name, shape in expected.items():
        written = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        if name not in arrays:
            hint = " Where tfa's layer has none, give zeros." if name.endswith(".bias") else ""
            problems.append(f"{name!r} is missing; expected an array of shape {written}.{hint}")
        elif not _fits(arrays[name].shape, shape):
            problems.append(f"{name!r} must have the shape {written}; got {arrays[name].shape}.")
        elif arrays[name].dtype.kind != "f":
            problems.append(f"{name!r} must hold floats; got {arrays[name].dtype}.")
    for name, value in settings.items():
        if name not in arrays:
            problems.append(f"{name!r} is missing; expected {value!r}.")
        elif arrays[name].ndim or arrays[name].item() != value:
            problems.append(
                f"{name!r} is {arrays[name].tolist()!r}; this decoder computes as with {value!r}."
            )
    for name in sorted(set(arrays) - set(expected) - set(settings)):
        problems.append(f"{name!r} of shape {arrays[name].shape} has no place in this decoder.")
    return problems


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        expected_size in (ANY, size) for size, expected_size in zip(shape, expected, strict=True)
    )


def _wrong_totals(sources: list[WeightSource], values: list[np.ndarray]) -> list[str]:
    """Describes attention layers that fit alone but do not add up to the decoder's layer."""
    return [
        f"{', '.join(map(repr, source.arrays))} must together have {source.variable.shape[-1]} "
        f"columns; got {value.shape[-1]}."
        for source, value in zip(sources, values, strict=True)
        if tuple(source.variable.shape) != value.shape
    ]


def _raise(headline: str, problems: list[str]) -> None:
    if problems:
        raise ValueError("\n- ".join([headline, *problems]))
