"""Diverse beam search, in groups of hypotheses that avoid each other's tokens."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_s2s.search.beam import BeamSearch
from keras_s2s.search.constraints.candidates import Candidates
from keras_s2s.search.penalties import LengthPenalty
from keras_s2s.search.request import Request
from keras_s2s.search.result import IMPOSSIBLE
from keras_s2s.system.checks import check_number, check_size


@keras.saving.register_keras_serializable(package="keras_s2s")
class DiverseBeamSearch(BeamSearch, name="diverse"):
    """Diverse beam search: beam search in groups (Vijayakumar et al. 2018).

    The `width` places are divided into `groups`. At every step the groups choose one after the
    other, by `total − diversity · count`, where `count` is the number of hypotheses of earlier
    groups that were just continued with the same token (Hamming diversity). Only the choice depends
    on this number. Log-probabilities and scores are the model's. One group searches as `BeamSearch`
    does. With a diversity of 0 and one place in each group, every group searches as `GreedySearch`
    does.

    Args:
        width: number of places of each sentence, divisible by `groups`.
        length_penalty: as for `BeamSearch`.
        n_best: number of hypotheses that are returned for each sentence, the best of all groups;
            all of them when omitted.
        max_length: number of tokens in the longest output, end token included.
        groups: number of groups.
        diversity: strength, in units of log-probability.
        **options: the other arguments of `BeamSearch`.

    Raises:
        ValueError: If a setting is out of its range, or if `width` is not divisible by `groups`. A
            call also raises it if it gets `required`, since required phrases divide the beam in
            another way.

    Example: greedy search chooses "a"; the second group avoids it and chooses "b".
    >>> import numpy as np
    >>> table = np.full((6, 6), -9.0, "float32")  # ids: pad, unknown, start, end, a, b
    >>> table[2, 4], table[2, 5], table[4, 3], table[5, 3] = 2.0, 1.0, 9.0, 9.0
    >>> def step(tokens, state):
    ...     return ops.take(table, tokens, axis=0), state
    >>> search = DiverseBeamSearch(width=2, groups=2, diversity=2.0, max_length=4)
    >>> np.array(search(step, (), batch_size=1).ids).tolist()
    [[[4, 3, 0, 0], [5, 3, 0, 0]]]
    """

    def __init__(
        self,
        width: int = 6,
        length_penalty: LengthPenalty | float | str = 1.0,
        n_best: int | None = None,
        max_length: int = 100,
        *,
        groups: int = 3,
        diversity: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(
            width, length_penalty, width if n_best is None else n_best, max_length, **options
        )
        check_size("groups", groups)
        if width % groups:
            raise ValueError(
                f"`width` must be divisible by `groups`; got width={width}, groups={groups}."
            )
        check_number("diversity", diversity, 0)
        self.groups = groups
        self.diversity = float(diversity)

    def __call__(self, *args: Any, required: Any = None, **kwargs: Any) -> Any:
        if required is not None:
            raise ValueError(
                "`required` phrases and groups both divide the beam, so they exclude each other. "
                "Use BeamSearch, or require nothing."
            )
        return super().__call__(*args, **kwargs)

    def _alike(self) -> int:
        return self.width // self.groups

    def _choose(self, options: Candidates, totals: Any, request: Request) -> Any:
        # Earlier groups lower at most `width − size` tokens, so the `size` best of all tokens are
        # always among the `width` candidates.
        size, count = self._alike(), options.tokens.shape[-1]
        batch, part = request.batch_size, size * count
        totals = ops.reshape(totals, (batch, self.groups, part))
        tokens = ops.reshape(options.tokens, (batch, self.groups, part))
        chosen: list[Any] = []
        earlier: list[Any] = []  # the tokens that earlier groups chose
        for group in range(self.groups):
            worth, ids = totals[:, group], tokens[:, group]
            if earlier:
                times = ops.sum(
                    ops.cast(
                        ops.equal(ids[:, :, None], ops.concatenate(earlier, axis=1)[:, None]),
                        "float32",
                    ),
                    axis=-1,
                )
                live = worth < -IMPOSSIBLE / 2
                worth = worth - ops.where(live, self.diversity * times, 0.0)
            _, best = ops.top_k(worth, size)
            best = ops.cast(best, "int32")
            chosen.append(best + group * part)
            live = ops.take_along_axis(totals[:, group], best, axis=-1) < -IMPOSSIBLE / 2
            # A finished hypothesis is continued with no token.
            earlier.append(ops.where(live, ops.take_along_axis(ids, best, axis=-1), -1))
        return ops.concatenate(chosen, axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups, "diversity": self.diversity}
