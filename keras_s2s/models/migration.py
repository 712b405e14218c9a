"""Weights of decoders trained with TensorFlow Addons, loaded into `Decoder`.

Owns the correspondence between the two. It reads plain arrays, so TensorFlow Addons need not be
installed; docs/migrating_from_tfa.md shows how to get them out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_s2s.layers.attention import (
    Attention,
    ConcatScore,
    GeneralScore,
    Hardmax,
    Monotonic,
    NormalizedConcatScore,
    ScaledGeneralScore,
    SeveralAttentions,
    Softmax,
)
from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.recurrent import GRU, LSTM
from keras_s2s.system.checks import check_instance

ANY = "any"
Shape = tuple[int | str, ...]
Arrays = dict[str, np.ndarray]


def load_tfa_decoder(decoder: Decoder, weights: Mapping[str, Any]) -> None:
    """Loads the weights of a `tfa.seq2seq.AttentionWrapper` and what surrounds it.

    The decoder must be made like the wrapper: `cell='lstm'` or `'gru'` and as many layers,
    `input_feeding=True`, `attention_vector='layer'` with the wrapper's `attention_layer_size` and
    `attention_activation='linear'` unless it had another one, or `attention_vector='context'` where
    it had no attention layer, `output_from='cell'` where it had `output_attention=False`, and its
    mechanisms, in their order. It is built here if it is not yet.

    `weights` are named, with `i` counting from 0 (`E`, `U`, `M`, `V` as everywhere, `A` the width
    of Bahdanau's projections, `G` gates, `N` the width of one attention layer):

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

    The last setting and the activation are asked for because no shape would show that they differ.

    Args:
        decoder: a `Decoder`, built or not; its weights are overwritten.
        weights: name to array.

    Raises:
        ValueError: the decoder does something tfa does not, or names, shapes or settings do not
            fit. Every difference is listed, and nothing has been assigned.
        TypeError: `decoder` is no `Decoder`.

    Example: the embedding of a decoder that has been left out.
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
    targets = _targets(decoder, mechanisms)
    problems = _differences(targets, _settings(decoder, mechanisms), arrays)
    _raise("These weights do not fit this decoder:", problems)
    made = [target.make(*(arrays[name] for name in target.arrays)) for target in targets]
    _raise("These weights do not fit this decoder:", _misfits(targets, made))
    for target, value in zip(targets, made, strict=True):
        target.variable.assign(value)


class _Target(NamedTuple):
    """One of our weights, and what it is made of.

    Attributes:
        variable: the weight.
        arrays: name and shape of each array of tfa.
        make: from these arrays to the weight's value.
    """

    variable: Any
    arrays: dict[str, Shape]
    make: Callable[..., np.ndarray] = lambda array: array


def _foreign_options(decoder: Decoder) -> list[str]:
    """What of the decoder's options has no counterpart."""
    wanted = {
        "input_feeding": (True,),
        "attend_with": ("current",),
        "attention_in": ("last",),
        "attention_vector": ("layer", "context", None),
        "residual": (False,),
        "layer_norm": (False,),
        "tied_embedding": (False,),
    }
    found = [
        f"`{name}` must be {' or '.join(map(repr, allowed))}; got {getattr(decoder, name)!r}."
        for name, allowed in wanted.items()
        if getattr(decoder, name) not in allowed
    ]
    for i, block in enumerate(decoder.blocks):
        if type(block.recurrent) not in (LSTM, GRU):
            found.append(
                f"Layer {i} must be 'lstm' or 'gru'; got {type(block.recurrent).__name__}."
            )
    if decoder.attention is None:
        found.append("`attention` must be a mechanism; got None.")
    return found


def _mechanisms(decoder: Decoder) -> list[Attention]:
    """The decoder's mechanisms, each of them one that tfa has."""
    whole: Any = decoder.attention
    members = whole.members if isinstance(whole, SeveralAttentions) else [whole]
    problems = []
    for i, member in enumerate(members):
        score = getattr(member, "score", member)
        if not isinstance(member, Attention) or type(score) not in _SCORES:
            known = ", ".join(kind.__name__ for kind in _SCORES)
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
    """Makes the decoder's weights, for a memory as wide as that of the arrays."""
    if decoder.built:
        return
    name = "mechanism.0.memory_layer.kernel"
    if name not in arrays or arrays[name].ndim != 2:
        got = f"an array of shape {arrays[name].shape}" if name in arrays else "none"
        raise ValueError(
            f"{name!r} must be an array (memory width, units), to build this decoder with; got "
            f"{got}."
        )
    state = [[(None, size) for size in layer] for layer in decoder.state_sizes]
    decoder.build((None, None), state, (None, None, arrays[name].shape[0]))


# What each score's weights are made of, by the names of tfa. The shapes are those of the weights,
# but for the vector, which tfa has without its second axis.
_SCORES: dict[type, dict[str, str]] = {
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


def _targets(decoder: Decoder, mechanisms: list[Attention]) -> list[_Target]:
    """All weights of the decoder."""

    def same(variable: Any, name: str) -> _Target:
        return _Target(variable, {name: tuple(variable.shape)})

    targets = [same(decoder.embedding.embeddings, "embedding")]
    for i, block in enumerate(decoder.blocks):
        for part in ("kernel", "recurrent_kernel", "bias"):
            targets.append(same(getattr(block.recurrent, part), f"cell.{i}.{part}"))
    for i, mechanism in enumerate(mechanisms):
        for ours, theirs in _SCORES[type(mechanism.score)].items():
            variable, name = getattr(mechanism.score, ours), f"mechanism.{i}.{theirs}"
            if ours == "vector":
                shape = (variable.shape[0],)
                targets.append(_Target(variable, {name: shape}, lambda array: array[:, None]))
            else:
                targets.append(same(variable, name))
        if isinstance(mechanism.probability, Monotonic):
            name = f"mechanism.{i}.attention_score_bias"
            targets.append(same(mechanism.probability.offset, name))
    if decoder.attention_vector != "context":
        targets.append(_attention_layer(decoder, len(mechanisms)))
    output_layer: Any = decoder.output_layer
    for variable in output_layer.weights:
        targets.append(same(variable, f"output_layer.{variable.name}"))
    return targets


def _attention_layer(decoder: Decoder, mechanisms: int) -> _Target:
    """One kernel of tfa for each mechanism, rows `[h; context]`, to one of ours, `[contexts; h]`.

    Their outputs lie side by side, and each sees one context only: the rows of the others are zero.
    """
    attention_layer: Any = decoder.attention_layer
    kernel = attention_layer.kernel
    rows, columns = kernel.shape
    units = decoder.blocks[-1].units
    memory = (rows - units) // mechanisms

    def make(*arrays: np.ndarray) -> np.ndarray:
        made = np.zeros((rows, sum(array.shape[1] for array in arrays)), arrays[0].dtype)
        column = 0
        for i, array in enumerate(arrays):
            block = slice(column, column + array.shape[1])
            made[i * memory : (i + 1) * memory, block] = array[units:]
            made[mechanisms * memory :, block] = array[:units]
            column += array.shape[1]
        return made

    # With several mechanisms, only the sum of their columns is known.
    shape = (units + memory, columns if mechanisms == 1 else ANY)
    names = [f"attention_layer.{i}.kernel" for i in range(mechanisms)]
    return _Target(kernel, dict.fromkeys(names, shape), make)


def _settings(decoder: Decoder, mechanisms: list[Attention]) -> dict[str, Any]:
    """What the arrays must say for the numbers to come out equal, and no shape shows."""
    settings: dict[str, Any] = {"output_attention": decoder.output_from != "cell"}
    if decoder.attention_vector != "context":
        attention_layer: Any = decoder.attention_layer
        activation = attention_layer.activation.__name__
        settings |= {f"attention_layer.{i}.activation": activation for i in range(len(mechanisms))}
    return settings


def _differences(targets: list[_Target], settings: dict[str, Any], arrays: Arrays) -> list[str]:
    """What is missing, what has the wrong shape, kind or value, and what has no place."""
    expected = {name: shape for target in targets for name, shape in target.arrays.items()}
    found = []
    for name, shape in expected.items():
        said = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        if name not in arrays:
            hint = " Where tfa's layer has none, give zeros." if name.endswith(".bias") else ""
            found.append(f"{name!r} is missing; expected an array of shape {said}.{hint}")
        elif not _fits(arrays[name].shape, shape):
            found.append(f"{name!r} must have the shape {said}; got {arrays[name].shape}.")
        elif arrays[name].dtype.kind != "f":
            found.append(f"{name!r} must hold floats; got {arrays[name].dtype}.")
    for name, value in settings.items():
        if name not in arrays:
            found.append(f"{name!r} is missing; expected {value!r}.")
        elif arrays[name].ndim or arrays[name].item() != value:
            found.append(
                f"{name!r} is {arrays[name].tolist()!r}; this decoder computes as with {value!r}."
            )
    for name in sorted(set(arrays) - set(expected) - set(settings)):
        found.append(f"{name!r} of shape {arrays[name].shape} has no place in this decoder.")
    return found


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (ANY, size) for size, wanted in zip(shape, expected, strict=True)
    )


def _misfits(targets: list[_Target], made: list[np.ndarray]) -> list[str]:
    """Arrays that fit one by one, but not together: attention layers of several mechanisms."""
    return [
        f"{', '.join(map(repr, target.arrays))} must together have {target.variable.shape[-1]} "
        f"columns; got {value.shape[-1]}."
        for target, value in zip(targets, made, strict=True)
        if tuple(target.variable.shape) != value.shape
    ]


def _raise(what: str, problems: list[str]) -> None:
    if problems:
        raise ValueError("\n- ".join([what, *problems]))
