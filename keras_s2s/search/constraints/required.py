"""Required phrases: lexically constrained beam search with dynamic beam allocation.

Hokamp & Liu 2017 search with a beam for every number of fulfilled tokens; Post & Vilar 2018 divide
one beam among those numbers ("banks") at every step. Here the places are dealt out in turn, one to
each bank and the fullest bank first, which needs no redistribution afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_s2s.search.constraints import phrases
from keras_s2s.search.result import IMPOSSIBLE, is_real


class Required(NamedTuple):
    """The phrases of each hypothesis and how far it has come with them.

    Attributes:
        ids: `(R, C, M)` int32, −1 behind each.
        sizes: `(R, C)` int32, 0 for a phrase that is not there.
        met: `(R, C)` bool; those of size 0 are.
        begun: `(R, C, M)` bool: at `p`, the last `p` tokens are the phrase's first `p`.
    """

    ids: Any
    sizes: Any
    met: Any
    begun: Any

    def next_tokens(self) -> tuple[Any, Any]:
        """The token that leads each open phrase on, `(R, C)`, and which phrases are open."""
        longest = ops.max(self._lengths() * ops.cast(self._within(), "int32"), axis=-1)
        at = ops.equal(self._lengths(), longest[:, :, None])
        tokens = ops.max(ops.where(at, self.ids, -1), axis=-1)
        return tokens, ops.logical_not(self.met)

    def after(self, tokens: Any) -> tuple[Any, Any]:
        """How far each hypothesis would come with each of `k` tokens.

        Args:
            tokens: `(R, k)` int32.

        Returns:
            Which phrases would be met, `(R, k, C)` bool; and the bank, `(R, k)` int32: the tokens
            of met phrases and those of the open one that has come farthest. That one can always be
            led on, so the highest bank of a sentence rises at every step until all is met.
        """
        said = ops.equal(self.ids[:, None], tokens[:, :, None, None])  # (R, k, C, M)
        led = ops.logical_and(said, self._within()[:, None])
        progress = ops.max(ops.where(led, self._lengths() + 1, 0), axis=-1)  # (R, k, C)
        done = ops.equal(progress, self.sizes[:, None])
        met = ops.logical_or(done, self.met[:, None])
        fulfilled = ops.sum(ops.where(met, self.sizes[:, None], 0), axis=-1)
        return met, fulfilled + ops.max(ops.where(met, 0, progress), axis=-1)

    def _lengths(self) -> Any:
        return ops.arange(ops.shape(self.ids)[-1], dtype="int32")[None, None]

    def _within(self) -> Any:
        """`begun`, short of the whole phrase."""
        return ops.logical_and(self.begun, self._lengths() < self.sizes[:, :, None])


def required(ids: Any, met: Any, said: Any, t: Any) -> Required:
    """The phrases, matched with the `t` tokens so far."""
    return Required(ids, phrases.sizes(ids), met, phrases.begun(ids, said, t))


def unmet(ids: Any) -> Any:
    """`met` before the first step: True for phrases that are not there."""
    return ops.equal(phrases.sizes(ids), 0)


def dealt(totals: Any, banks: Any, keep: Any, width: int) -> Any:
    """Chooses `width` candidates: the best of each bank, then the second best of each, and so on.

    Args:
        totals: `(B, n)` float32, what candidates are worth; impossible ones are never preferred.
        banks: `(B, n)` int32.
        keep: `(B, n)` bool, at most `width` candidates that are chosen before all others.
        width: places.

    Returns:
        `(B, width)` int32, places among the `n`.
    """
    count = ops.shape(totals)[-1]
    banks = ops.where(keep, -1, banks)  # they take no turn of others
    totals, order = ops.top_k(totals, count)
    order = ops.cast(order, "int32")
    banks = ops.take_along_axis(banks, order, axis=-1)
    earlier = ops.arange(count)[:, None] > ops.arange(count)[None]
    same = ops.equal(banks[:, :, None], banks[:, None, :])
    rank = ops.sum(ops.cast(ops.logical_and(same, earlier[None]), "int32"), axis=-1)
    turn = rank * (ops.max(banks, axis=-1, keepdims=True) + 1) - banks
    # Dealt to the fullest bank first, after those to keep and before what is impossible.
    key = ops.where(is_real(totals), -ops.cast(turn, "float32"), IMPOSSIBLE)
    key = ops.where(banks < 0, -IMPOSSIBLE, key)
    _, chosen = ops.top_k(key, width)
    return ops.take_along_axis(order, ops.cast(chosen, "int32"), axis=-1)
