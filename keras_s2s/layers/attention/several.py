"""Several mechanisms at once, and the mechanism that a user's `attention` argument asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_s2s.layers.attention.attention import Attention
from keras_s2s.layers.attention.group import Group
from keras_s2s.layers.attention.mechanism import Mechanism, State
from keras_s2s.layers.attention.memory import Memory, Shape, values_shape
from keras_s2s.layers.attention.scores import Score
from keras_s2s.system.checks import type_in_words


@keras.saving.register_keras_serializable(package="keras_s2s")
class SeveralAttentions(Group):
    """Attends with several mechanisms at once, joins their contexts and averages their weights.

    All mechanisms see the same query at each step.

    ```
    context = [context_1; …; context_N]
    weights = (weights_1 + … + weights_N) / N
    ```

    Args:
        attentions: list of mechanisms, scores or names of scores; at least one.

    Example: The scores are 0, ln 2 and, at a masked position, 2·ln 2. Softmax gives the weights ⅓,
    ⅔ and 0 and the context ⅓·3 + ⅔·6 = 5. Hardmax gives the weights 0, 1 and 0 and the context 6.
    The mean weights are 1/6, 5/6 and 0.
    >>> import numpy as np
    >>> attention = SeveralAttentions(["dot", Attention("dot", "hardmax")])
    >>> query = np.array([[[np.log(2) / 3]]], "float32")
    >>> values = np.array([[[3], [6], [9]]], "float32")
    >>> context, weights = attention(query, Encoded(values, np.array([[True, True, False]])))
    >>> context.numpy().round(3), weights.numpy().round(3)
    (array([[[5., 6.]]], dtype=float32), array([[[0.167, 0.833, 0.   ]]], dtype=float32))
    """

    def __init__(self, attentions: Sequence[Mechanism | Score | str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(attentions, str) or not isinstance(attentions, Sequence) or not attentions:
            raise ValueError(
                "`attentions` must be a list of at least one mechanism; got "
                f"attentions={attentions!r}."
            )
        self.members = [resolved_mechanism(member, self.dtype_policy) for member in attentions]
        _check_unshared(self.members)

    def build(self, query_shape: Shape, memory_shape: Any) -> None:
        for member in self.members:
            if not member.built:
                member.build(query_shape, values_shape(memory_shape))

    def context_size(self, memory_shape: Any) -> int:
        return sum(member.context_size(memory_shape) for member in self.members)

    def prepare(self, values: Any) -> Any:
        return tuple(member.prepare(values) for member in self.members)

    def _memories(self, memory: Memory) -> list[Memory]:
        return [memory._replace(keys=keys) for keys in memory.keys]

    def attend(
        self, query: Any, memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        return self._attend_all([query] * len(self.members), memory, state, noise)

    def get_config(self) -> dict[str, Any]:
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        return {**super().get_config(), "attentions": members}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeveralAttentions:
        members = [keras.saving.deserialize_keras_object(item) for item in config["attentions"]]
        return cls(**{**config, "attentions": members})


def _check_unshared(members: Sequence[Mechanism]) -> None:
    """Checks that no part belongs to two members. Keras would save the layer but not load it.

    Raises:
        ValueError: If two members are the same mechanism or share a part.
    """
    layers: list[keras.layers.Layer] = []
    pending: list[Any] = list(members)
    while pending:
        layer = pending.pop()
        if layer is None:
            continue
        if any(layer is earlier for earlier in layers):
            raise ValueError(
                "`attentions` must be mechanisms with parts of their own; got the same "
                f"{type(layer).__name__} twice. Make one for each."
            )
        layers.append(layer)
        pending += getattr(layer, "members", [])
        pending += [getattr(layer, name, None) for name in ("score", "probability", "window")]


def resolved_mechanism(attention: Any, dtype: Any = None) -> Mechanism:
    """Returns the mechanism that a user's `attention` argument stands for.

    Args:
        attention: a mechanism; a `Score` or the name of one, which makes an `Attention`; or a list
            of any of these, which makes a `SeveralAttentions`.
        dtype: the dtype policy of a mechanism made here.

    Raises:
        ValueError: If no score has the given name.
        TypeError: If the argument is anything else.
    """
    if isinstance(attention, Mechanism):
        return attention
    if isinstance(attention, (str, Score)):
        return Attention(attention, dtype=dtype)
    if isinstance(attention, (list, tuple)):
        return SeveralAttentions(attention, dtype=dtype)
    raise TypeError(
        "`attention` must be an Attention (or another mechanism), a Score, a score's name, a list "
        f"of these or None; got {type_in_words(attention)}."
    )
