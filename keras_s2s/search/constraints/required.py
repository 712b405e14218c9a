"""Required phrases, by lexically constrained beam search with dynamic beam allocation.

Hokamp & Liu (2017) search with one beam for every number of fulfilled tokens. Post & Vilar (2018)
divide one beam among these numbers, the "banks", at every step. Here each bank gets one place in
turn, the fullest bank first, until all places are taken. So no place has to be redistributed
afterwards.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_s2s.search.constraints import phrases
from keras_s2s.search.result import IMPOSSIBLE, is_real


class Required(NamedTuple):
    """The required phrases of each hypothesis, and its progress with them.

    Attributes:
        ids: `(R, C, M)` int32, −1 behind the tokens of each phrase.
        sizes: `(R, C)` int32, 0 for a phrase without tokens.
        met: `(R, C)` bool, whether the hypothesis holds the phrase; True for phrases of size 0.
        begun: `(R, C, M)` bool, True at `p` if the last `p` tokens of the hypothesis are the first
            `p` of the phrase.
    """

    ids: Any
    sizes: Any
    met: Any
    begun: Any

    def next_tokens(self) -> tuple[Any, Any]:
        """Returns the token that continues each phrase, and which phrases are open.

        Returns:
            `(R, C)` int32 and `(R, C)` bool.
        """
        longest = ops.max(self._lengths() * ops.cast(self._within(), "int32"), axis=-1)
        at = ops.equal(self._lengths(), longest[:, :, None])
        tokens = ops.max(ops.where(at, self.ids, -1), axis=-1)
        return tokens, ops.logical_not(self.met)

    def after(self, tokens: Any) -> tuple[Any, Any]:
        """Computes the progress of each hypothesis with each of `k` tokens.

        Args:
            tokens: `(R, k)` int32.

        Returns:
            The phrases that would be met, `(R, k, C)` bool, and the bank, `(R, k)` int32. The bank
            counts the tokens of met phrases and the matched tokens of the open phrase with the most
            progress. This phrase can always be continued, so the highest bank of a sentence rises
            at every step until all phrases are met.
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
        """Returns `begun` without beginnings that are the whole phrase."""
        return ops.logical_and(self.begun, self._lengths() < self.sizes[:, :, None])


def required(ids: Any, met: Any, said: Any, t: Any) -> Required:
    """Matches phrases with the tokens of each hypothesis.

    Args:
        ids: `(R, C, M)` int32, −1 behind the tokens of each phrase.
        met: `(R, C)` bool, the phrases that are met.
        said: `(R, L)` int32, the tokens so far.
        t: the number of these tokens, an int32 scalar.
    """
    return Required(ids, phrases.sizes(ids), met, phrases.begun(ids, said, t))


def unmet(ids: Any) -> Any:
    """Returns `met` before the first step, which is True only for phrases without tokens."""
    return ops.equal(phrases.sizes(ids), 0)


def dealt(totals: Any, banks: Any, keep: Any, width: int) -> Any:
    """Chooses `width` candidates: the best of each bank, then the second best of each, and so on.

    Args:
        totals: `(B, n)` float32, the values of candidates; impossible ones come last.
        banks: `(B, n)` int32.
        keep: `(B, n)` bool, at most `width` candidates that are chosen before all others.
        width: number of candidates to choose.

    Returns:
        `(B, width)` int32, positions among the `n` candidates.
    """
    count = ops.shape(totals)[-1]
    banks = ops.where(keep, -1, banks)  # their own bank, so that they take no turn of others
    totals, order = ops.top_k(totals, count)
    order = ops.cast(order, "int32")
    banks = ops.take_along_axis(banks, order, axis=-1)
    earlier = ops.arange(count)[:, None] > ops.arange(count)[None]
    same = ops.equal(banks[:, :, None], banks[:, None, :])
    rank = ops.sum(ops.cast(ops.logical_and(same, earlier[None]), "int32"), axis=-1)
    turn = rank * (ops.max(banks, axis=-1, keepdims=True) + 1) - banks
    # Candidates to keep come first, then the others by turn, within a turn by the fullest bank, and
    # impossible ones last.
    key = ops.where(is_real(totals), -ops.cast(turn, "float32"), IMPOSSIBLE)
    key = ops.where(banks < 0, -IMPOSSIBLE, key)
    _, chosen = ops.top_k(key, width)
    return ops.take_along_axis(order, ops.cast(chosen, "int32"), axis=-1)
