"""What a parity run found: per artefact and batch size, how many outputs were equal, which not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10  # mismatches kept of one comparison; their number is always kept


@dataclass(frozen=True)
class Mismatch:
    """An output that is not what Keras gives.

    Attributes:
        source: the text, or the source ids.
        expected: what Keras gives.
        received: what the artefact gave.
        score_gap: how much better Keras scores its own output; None when the other could not be
            scored.
        token_gap: the same for the first token that differs.
        near_tie: whether a gap is small enough for rounding to decide; it is a mismatch all the
            same.
    """

    source: Any
    expected: Any
    received: Any
    score_gap: float | None = None
    token_gap: float | None = None
    near_tie: bool = False


@dataclass
class Comparison:
    """One artefact at one batch size.

    Attributes:
        artefact: path in the output folder, or "keras" for Keras at another batch size.
        batch_size: sentences per batch; None for the spec's samples, batches of several shapes.
        sentences: sentences compared.
        equal: of these, how many gave the same tokens or text.
        largest_score_difference: over all sentences with equal tokens; None where there are no
            scores.
        objections: departures from the declaration, scores that differ, failures to run.
        mismatches: the first of the outputs that differ.
        largest_alignment_difference: as that of scores, of attention weights.
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
        """Whether every output was equal and nothing objected to."""
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
    """All comparisons of one export.

    Attributes:
        sentences: how many texts there were, and where they came from.
        comparisons: one per artefact and batch size.
        about: versions, machine, settings.
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
        """Over all comparisons."""
        differences = [comparison.largest_score_difference for comparison in self.comparisons]
        return max((d for d in differences if d is not None), default=0.0)

    def failures(self) -> list[str]:
        """One line per comparison that failed."""
        return [str(comparison) for comparison in self.comparisons if not comparison.passed]

    def to_json(self) -> dict[str, Any]:
        """As JSON types, without the infinities and NaN that JSON lacks."""
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
