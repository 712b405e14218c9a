"""Several mechanisms at once, and heads, which are several mechanisms over projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_s2s.layers.attention.attention import Attention
from keras_s2s.layers.attention.mechanism import Mechanism, Part, State, part
from keras_s2s.layers.attention.memory import Memory, Shape, values_shape
from keras_s2s.layers.attention.probability import PROBABILITIES, Probability
from keras_s2s.layers.attention.scores import SCORES, Score
from keras_s2s.layers.attention.windows import Window
from keras_s2s.system.checks import check_size


class Group(Mechanism):
    """Members that attend to one source side by side; state and noise are tuples of theirs."""

    members: list[Mechanism]

    @property
    def follows_alignment(self) -> bool:
        return any(member.follows_alignment for member in self.members)

    @property
    def remembers(self) -> bool:
        return any(member.remembers for member in self.members)

    def _memories(self, memory: Memory) -> list[Memory]:
        """What each member looks at."""
        raise NotImplementedError

    def initial_state(self, memory: Memory) -> State:
        pairs = zip(self.members, self._memories(memory), strict=True)
        return tuple(member.initial_state(own) for member, own in pairs)

    def unroll(self, state: State, steps: Any) -> tuple[State, State]:
        pairs = zip(self.members, state, strict=True)
        unrolled = [member.unroll(own, steps) for member, own in pairs]
        return tuple(states for states, _ in unrolled), tuple(after for _, after in unrolled)

    def noise(self, memory: Memory, steps: Any) -> State:
        pairs = zip(self.members, self._memories(memory), strict=True)
        return tuple(member.noise(own, steps) for member, own in pairs)

    def _attend_all(
        self, queries: Sequence[Any], memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        """Contexts joined `(B, K, ΣC)`, mean weights `(B, K, S)`, states."""
        contexts, weights, states = [], [], []
        memories = self._memories(memory)
        for i, member in enumerate(self.members):
            own = noise[i] if noise else ()
            context, attended, after = member.attend(queries[i], memories[i], state[i], own)
            contexts.append(context)
            weights.append(attended)
            states.append(after)
        mean = sum(weights[1:], start=weights[0]) * (1.0 / len(weights))
        return ops.concatenate(contexts, axis=-1), mean, tuple(states)


@keras.saving.register_keras_serializable(package="keras_s2s")
class SeveralAttentions(Group):
    """Several mechanisms with one query each step: their contexts joined, their weights averaged.

    Args:
        attentions: mechanisms, scores or names of scores; at least one.

    Example: scores 0, ln 2 and, masked, 2·ln 2. Softmax gives the weights ⅓, ⅔ and 0 and the
    context ⅓·3 + ⅔·6 = 5; hardmax gives 0, 1 and 0 and 6. The mean weights are 1/6, 5/6 and 0.
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
                f"`attentions` must be a list of at least one mechanism; got {attentions!r}."
            )
        self.members = [mechanism(each, self.dtype_policy) for each in attentions]
        _check_own(self.members)

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
        serialize = keras.saving.serialize_keras_object
        return {**super().get_config(), "attentions": [serialize(each) for each in self.members]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeveralAttentions:
        members = [keras.saving.deserialize_keras_object(each) for each in config["attentions"]]
        return cls(**{**config, "attentions": members})


@keras.saving.register_keras_serializable(package="keras_s2s")
class MultiHeadAttention(Group):
    """Heads that attend with projections of their own (Vaswani et al. 2017, §3.2.2).

    ```
    head_i = attention_i(query·Q_i, values·K_i, values·V_i)      each of width units / heads
    context = [head_1; …; head_H]·O                              of width units
    ```

    The weights returned are the mean over heads. With 'scaled_dot' this is the paper's; with any
    other score, each head has a score of its own.

    Args:
        score: name of a score, or a `Score` to be copied for each head.
        heads: number `H` of heads.
        units: width of the context, a multiple of `heads`; the decoder's width when omitted.
        probability: as for `Attention`; copied for each head.
        window: as for `Attention`; copied for each head.
        dropout: as for `Attention`.

    Example: all kernels leave their input as it is, so head 1 reads the first component of query
    and values, head 2 the second. The third token is padding. Scores 0 and ln 2 give head 1 the
    weights ⅓ and ⅔ and ⅓·0 + ⅔·1 = 0.667; scores 0 and 0 give head 2 ½ and ½ and ½·3 = 1.5. The
    mean weights are (⅓ + ½)/2 = 0.417 and (⅔ + ½)/2 = 0.583.
    >>> import numpy as np
    >>> attention = MultiHeadAttention(heads=2)
    >>> attention.build((1, 1, 2), (1, 3, 2))
    >>> attention.set_weights([np.eye(2)] * 4)
    >>> query = np.array([[[np.log(2), 0]]], "float32")
    >>> values = np.array([[[0, 3], [1, 0], [2, 5]]], "float32")
    >>> context, weights = attention(query, Encoded(values, np.array([[True, True, False]])))
    >>> context.numpy().round(3), weights.numpy().round(3)
    (array([[[0.667, 1.5  ]]], dtype=float32), array([[[0.417, 0.583, 0.   ]]], dtype=float32))
    """

    def __init__(
        self,
        score: str | Score = "scaled_dot",
        heads: int = 4,
        units: int | None = None,
        probability: str | Probability = "softmax",
        window: Window | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_size("heads", heads)
        if units is not None:
            check_size("units", units)
        policy = self.dtype_policy
        self.heads = heads
        self.units = units
        self.dropout = dropout
        self.score = part("score", score, Score, SCORES, policy)
        self.probability = part("probability", probability, Probability, PROBABILITIES, policy)
        self.window = window
        if units is not None:
            self._head_size(units)
        self.members = [self._head(i) for i in range(heads)]

    def _head(self, i: int) -> Attention:
        return Attention(
            _copy(self.score),
            _copy(self.probability),
            None if self.window is None else _copy(self.window),
            self.dropout,
            dtype=self.dtype_policy,
            name=f"head_{i}",
        )

    def _head_size(self, units: int) -> int:
        if units % self.heads:
            raise ValueError(
                "`units` must be a multiple of `heads`; got "
                f"units={units}, heads={self.heads}."
                + (" `units` is the decoder's width unless given." if self.units is None else "")
            )
        return units // self.heads

    def build(self, query_shape: Shape, memory_shape: Any) -> None:
        values = values_shape(memory_shape)
        self.width = self.units or int(query_shape[-1] or 0)
        size = self._head_size(self.width)
        for name, rows in (
            ("query", query_shape[-1]),
            ("keys", values[-1]),
            ("values", values[-1]),
        ):
            kernel = self.add_weight(
                name=f"{name}_kernel", shape=(rows, self.width), initializer="glorot_uniform"
            )
            setattr(self, f"{name}_kernel", kernel)
        self.output_kernel = self.add_weight(
            name="output_kernel", shape=(self.width, self.width), initializer="glorot_uniform"
        )
        for member in self.members:
            if not member.built:
                member.build((None, None, size), (None, None, size))

    def context_size(self, memory_shape: Any) -> int:
        return self.width

    def _heads_of(self, x: Any, kernel: Any) -> list[Any]:
        return list(ops.split(ops.matmul(x, ops.cast(kernel, x.dtype)), self.heads, axis=-1))

    def prepare(self, values: Any) -> Any:
        keys = self._heads_of(values, self.keys_kernel)
        return (
            tuple(member.prepare(own) for member, own in zip(self.members, keys, strict=True)),
            tuple(self._heads_of(values, self.values_kernel)),
        )

    def _memories(self, memory: Memory) -> list[Memory]:
        pairs = zip(*memory.keys, strict=True)
        return [Memory(keys, values, memory.mask) for keys, values in pairs]

    def attend(
        self, query: Any, memory: Memory, state: State, noise: State
    ) -> tuple[Any, Any, State]:
        queries = self._heads_of(query, self.query_kernel)
        context, weights, state = self._attend_all(queries, memory, state, noise)
        return ops.matmul(context, ops.cast(self.output_kernel, context.dtype)), weights, state

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "score": serialize(self.score),
            "heads": self.heads,
            "units": self.units,
            "probability": serialize(self.probability),
            "window": serialize(self.window),
            "dropout": self.dropout,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MultiHeadAttention:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("score", "probability", "window")
        }
        return cls(**{**config, **parts})


def _copy(given: Part) -> Part:
    """A part with the same options and weights of its own; needs no registration for saving."""
    return type(given).from_config(given.get_config())


def _check_own(members: Sequence[Mechanism]) -> None:
    """Raises ValueError where members share a part: Keras saves it, but cannot load it again."""
    seen: dict[int, Any] = {}
    pending: list[Any] = list(members)
    while pending:
        each = pending.pop()
        if each is None:
            continue
        if id(each) in seen:
            raise ValueError(
                "`attentions` must be mechanisms with parts of their own; got the same "
                f"{type(each).__name__} twice. Make one for each."
            )
        seen[id(each)] = each
        pending += getattr(each, "members", [])
        pending += [getattr(each, name, None) for name in ("score", "probability", "window")]


def mechanism(given: Any, dtype: Any = None) -> Mechanism:
    """A mechanism out of itself, a score, a score's name, or a list of any of these.

    Raises:
        ValueError: no score is named so.
        TypeError: none of these.
    """
    if isinstance(given, Mechanism):
        return given
    if isinstance(given, (str, Score)):
        return Attention(given, dtype=dtype)
    if isinstance(given, (list, tuple)):
        return SeveralAttentions(given, dtype=dtype)
    raise TypeError(
        "`attention` must be an Attention (or another mechanism), a Score, a score's name, a list "
        f"of these or None; got {type(given).__name__}."
    )
