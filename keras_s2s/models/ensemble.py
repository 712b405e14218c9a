"""`Ensemble`, which decodes with several models together, as if they were one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import keras
from keras import ops

from keras_s2s.models.inference import Decodable
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.system.checks import check_choice

# Replaces −inf if no member gives a token any probability, since −inf − (−inf) is NaN.
LEAST_LOG_PROB = -1e30
MEANS = ("probabilities", "log_probabilities")


@keras.saving.register_keras_serializable(package="keras_s2s")
class Ensemble(Decodable):
    """Averages the predictions of several `Seq2Seq` models at every step.

    With the members' distributions `p_m` over the next token, and weights `w_m` that sum to 1:

    - mean="probabilities": `log p = log Σ_m w_m p_m`. Most toolkits mean this by an ensemble. A
      token is likely where any member believes in it.
    - mean="log_probabilities": `log p = Σ_m w_m log p_m − log Σ_v exp(Σ_m w_m log p_m(v))`. This
      is the normalised geometric mean. A token is likely where no member disbelieves it.

    Members may differ in everything except their vocabularies: in sizes, cells and attention. The
    logits are these log-probabilities, in float32. The attention weights are the weighted mean over
    the members that attend. A `Translator` takes an ensemble in place of a `Seq2Seq`, saves it and
    is exported with it. An ensemble cannot be trained; train its members one by one.

    Args:
        members: the `Seq2Seq` models, each of them once.
        mean: 'probabilities' or 'log_probabilities'.
        weights: one positive number for each member, which are divided by their sum; equal weights
            when omitted.

    Raises:
        ValueError: If there are no members, if a model is given twice, if vocabulary sizes or pad
            ids differ, or if the weights are not one positive number for each member.
        TypeError: If a member is not a `Seq2Seq`.

    Example:
    >>> import numpy as np
    >>> from keras_s2s import Decoder, Encoder
    >>> a, b = (
    ...     Seq2Seq(
    ...         Encoder(vocabulary_size=9, embedding_size=8, units=units),
    ...         Decoder(vocabulary_size=9, embedding_size=8, units=16),
    ...     )
    ...     for units in (6, 8)
    ... )
    >>> both = Ensemble([a, b], weights=[2, 1])
    >>> both.inference_model()(np.array([[5, 6, 7, 3]])).ids.shape
    TensorShape([1, 1, 100])
    """

    def __init__(
        self,
        members: Sequence[Seq2Seq],
        mean: str = "probabilities",
        weights: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        members = list(members)
        _check_members(members)
        check_choice("mean", mean, MEANS)
        self.members = members
        self.mean = mean
        # Keras uses the name `weights` for the variables of a model.
        self.member_weights = weight_shares(weights, len(members))
        self.supports_jit = keras.backend.backend() == "jax"
        if all(member.built for member in members):
            self.build()

    @property
    def pad_id(self) -> int:
        """The id that pads rows to the length of the longest."""
        return self.members[0].pad_id

    @property
    def source_vocabulary_size(self) -> int:
        """Number of source ids."""
        return self.members[0].source_vocabulary_size

    @property
    def target_vocabulary_size(self) -> int:
        """Number of target ids."""
        return self.members[0].target_vocabulary_size

    @property
    def attends(self) -> bool:
        """Whether any member has attention."""
        return any(member.attends for member in self.members)

    @property
    def compute_dtypes(self) -> set[str]:
        """The dtypes that the members compute in."""
        return set().union(*(member.compute_dtypes for member in self.members))

    def build(self, input_shape: Any = None) -> None:
        for member in self.members:
            if not member.built:
                member.build()

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Computes teacher-forced log-probabilities `(B, T, V)` of a `Seq2Seq`'s inputs.

        Dropout is off, also in training.
        """
        return self._averaged([member(inputs, training=False) for member in self.members])

    def encode(self, source_ids: Any, source_features: Any = None) -> tuple[Any, Any]:
        """Encodes source ids `(B, S)` to tuples of the members' memories and first states."""
        pairs = [member.encode(source_ids, source_features) for member in self.members]
        memories, states = zip(*pairs, strict=True)
        return memories, states

    def step(self, tokens: Any, state: Any, memory: Any) -> tuple[Any, Any, Any]:
        """Runs one step of every member: `(log-probabilities (N, V), states, weights (N, S))`."""
        steps = [
            member.step(tokens, member_state, member_memory)
            for member, member_state, member_memory in zip(self.members, state, memory, strict=True)
        ]
        logits, states, weights = zip(*steps, strict=True)
        return self._averaged(logits), states, self._averaged_weights(weights)

    def _averaged(self, logits: Sequence[Any]) -> Any:
        """Averages the members' distributions: logits `(…, V)` to log-probabilities in float32."""
        log_probs = [
            ops.log_softmax(ops.cast(member_logits, "float32"), axis=-1) for member_logits in logits
        ]
        if self.mean == "log_probabilities":
            return ops.log_softmax(_weighted_sum(self.member_weights, log_probs), axis=-1)
        # This is the logarithm of a weighted sum of exponentials. Subtracting the maximum avoids
        # underflow.
        parts = [
            member_log_probs + math.log(share)
            for member_log_probs, share in zip(log_probs, self.member_weights, strict=True)
        ]
        top = ops.maximum(reduce(ops.maximum, parts), LEAST_LOG_PROB)
        return top + ops.log(reduce(ops.add, [ops.exp(part - top) for part in parts]))

    def _averaged_weights(self, weights: Sequence[Any]) -> Any:
        """Averages the attention weights `(N, S)` of the members that attend."""
        attending = [i for i, member in enumerate(self.members) if member.attends]
        if not attending:
            return weights[0]
        shares = weight_shares([self.member_weights[i] for i in attending], len(attending))
        return _weighted_sum(shares, [ops.cast(weights[i], "float32") for i in attending])

    def get_config(self) -> dict[str, Any]:
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        for member in members:
            member.pop("compile_config", None)  # it would bring the member's optimizer along
        return {
            **super().get_config(),
            "members": members,
            "mean": self.mean,
            "weights": self.member_weights,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Ensemble:
        members = [
            keras.saving.deserialize_keras_object(member, custom_objects=custom_objects)
            for member in config["members"]
        ]
        return cls(**{**config, "members": members})


def weight_shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Divides weights by their sum; None stands for equal weights.

    Raises:
        ValueError: If the weights are not `count` positive, finite numbers.
    """
    if weights is None:
        return [1 / count] * count
    numbers = [float(weight) for weight in weights]
    if len(numbers) != count or not all(0 < number < math.inf for number in numbers):
        raise ValueError(
            f"`weights` must be {count} positive numbers, one for each model; got {numbers}."
        )
    return [number / math.fsum(numbers) for number in numbers]


def _weighted_sum(shares: Sequence[float], tensors: Sequence[Any]) -> Any:
    return reduce(ops.add, [share * x for share, x in zip(shares, tensors, strict=True)])


def _check_members(members: list[Any]) -> None:
    if not members:
        raise ValueError("`members` must hold at least one Seq2Seq; got none.")
    for member in members:
        if not isinstance(member, Seq2Seq):
            raise TypeError(f"`members` must be Seq2Seq models; got {type(member).__name__}.")
    if len({id(member) for member in members}) < len(members):
        raise ValueError(
            "`members` must hold each model once; got one twice. Give it a larger weight "
            "with `weights` instead."
        )
    for name in ("source_vocabulary_size", "target_vocabulary_size", "pad_id"):
        values = [getattr(member, name) for member in members]
        if len(set(values)) > 1:
            raise ValueError(
                f"All members must have the same `{name}`; got {', '.join(map(str, values))}."
            )
