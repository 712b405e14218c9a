"""From the options of the command line to a search: the one place that knows both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_s2s.options import ArgumentError

if TYPE_CHECKING:
    from keras_s2s.search import Search


def search_for(
    saved: Search,
    *,
    beam: int | None = None,
    length_penalty: float | None = None,
    n_best: int | None = None,
    all_hypotheses: bool = False,
) -> Search:
    """The search that the options ask for; what is None stays as saved.

    Args:
        saved: the translator's own.
        beam: width.
        length_penalty: weight of the GNMT penalty.
        n_best: outputs for each text.
        all_hypotheses: give all that the search has, for a choice among them.

    Raises:
        ArgumentError: `all_hypotheses` of a search that has only one.
    """
    if all_hypotheses:
        width: int = beam or getattr(saved, "width", 1)
        if width < 2:
            raise ArgumentError("--mbr chooses among several outputs; give --beam 2 or more.")
        n_best = width
    if (beam, length_penalty, n_best) == (None, None, None):
        return saved
    return saved.like(width=beam, length_penalty=length_penalty, n_best=n_best)
