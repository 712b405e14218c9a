"""The result of a parity run: how many outputs were equal, and which outputs differ.

There is one comparison for every artefact at every batch size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10  # mismatches that a comparison keeps; it always counts all of them


@dataclass(frozen=True)
class Mismatch:
    """An output that differs from the output of Keras.

    Attributes:
        source: the source text, or the source ids.
        expected: the output of Keras.
        received: the output of the artefact.
        score_gap: how much better Keras scores its own output than the artefact's; None when the
            artefact's output cannot be scored.
        token_gap: the same for the first token that differs.
        near_tie: whether a gap is so small that rounding may have decided. A near tie is a mismatch
            nevertheless.
    """

    source: Any
    expected: Any
    received: Any
    score_gap: float | None = None
    token_gap: float | None = None
    near_tie: bool = False


@dataclass
class Comparison:
    """The comparison of one artefact with Keras at one batch size.

    Attributes:
        artefact: the artefact's path in the output folder, or "keras" for Keras at another batch
            size.
        batch_size: number of sentences per batch; None for the random samples, which are batches of
            several shapes.
        sentences: number of sentences compared.
        equal: number of sentences whose tokens or text are equal.
        largest_score_difference: the largest difference of scores over all sentences with equal
            tokens; None without scores.
        objections: departures from the declaration, numbers outside the tolerance, and failures to
            run.
        mismatches: the first outputs that differ.
        largest_alignment_difference: the largest difference of attention weights over all sentences
            with equal tokens; None without alignments.
    """

    artefact: str
    batch_size: int | None
    sentences: int = 0
    equal: int = 0
    largest_score_difference: float | None = None
    objections: list[str] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    largest_alignment_difference: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every output is equal and there are no objections."""
        return self.equal == self.sentences and not self.objections

    def __str__(self) -> str:
        batch = "sampled shapes" if self.batch_size is None else f"batch {self.batch_size}"
        parts = [f"{self.artefact} at {batch}"]
        if self.equal < self.sentences:
            parts.append(f"{self.sentences - self.equal} of {self.sentences} outputs differ")
        if self.mismatches:
            first = self.mismatches[0]
            tie = " (a near tie)" if first.near_tie else ""
            parts.append(f"first for {first.source!r}: expected {first.expected!r}")
            parts.append(f"got {first.received!r}{tie}")
        parts += self.objections[:1]
        return ", ".join(parts)


@dataclass(frozen=True)
class ParityReport:
    """The comparisons of all artefacts of one export.

    Attributes:
        sentences: the number of texts, as `count`, and how many of them the caller gave, as
            `given`.
        comparisons: one comparison per artefact and batch size.
        about: versions, machine and settings of the run, by name.
        seconds: how long the run took.
    """

    sentences: dict[str, Any]
    comparisons: Sequence[Comparison]
    about: dict[str, Any]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return all(comparison.passed for comparison in self.comparisons)

    @property
    def largest_score_difference(self) -> float:
        """The largest difference of scores over all comparisons; 0.0 without scores."""
        differences = [comparison.largest_score_difference for comparison in self.comparisons]
        return max(
            (difference for difference in differences if difference is not None), default=0.0
        )

    def failures(self) -> list[str]:
        """Returns one line of text for each comparison that failed."""
        return [str(comparison) for comparison in self.comparisons if not comparison.passed]

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON types; infinities and NaN, unknown to JSON, become strings."""
        return {
            "passed": self.passed,
            **self.about,
            "sentences": self.sentences,
            "seconds": round(self.seconds, 1),
            "comparisons": [
                _finite({"passed": comparison.passed, **asdict(comparison)})
                for comparison in self.comparisons
            ],
        }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
