"""The parity run to read: `parity.md`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_s2s.export.parity.quality import quality_lines
from keras_s2s.export.parity.report import Comparison, ParityReport


def parity_markdown(report: ParityReport) -> str:
    """A parity run as a page of Markdown: what was compared, how, and what came out."""
    count, given = report.sentences["count"], report.sentences["given"]
    verdict = "Everything was equal." if report.passed else "**There are differences.**"
    lines = [
        "# Parity with Keras",
        "",
        f"{verdict} {count} sentences, {given} of them given and the others drawn or awkward on "
        "purpose (empty, over-long, no UTF-8, NUL), in batches of 1, 7 and 32, shuffled, and "
        "random inputs of other shapes, an empty batch among them. Texts and tokens must be "
        "equal, numbers within 1e-4, relative to those above one.",
        "",
        *comparison_table(report.comparisons),
        "",
    ]
    lines += _differences(report.comparisons)
    if "int8" in report.about:
        lines += quality_lines(report.about["int8"])
    lines += ["## Made with", ""]
    for title in ("versions", "machine"):
        entries = report.about.get(title, {})
        lines.append(f"- {title}: " + ", ".join(f"{k} {v}" for k, v in entries.items() if v))
    lines.append(f"- settings: {_flat(report.about.get('settings', {}))}")
    return "\n".join(lines) + "\n"


def comparison_table(comparisons: Iterable[Comparison]) -> list[str]:
    """One line for each artefact at each batch size."""
    rows = [
        "| artefact | batch | sentences | equal | largest difference | |",
        "|---|---|---|---|---|---|",
    ]
    for each in comparisons:
        batch = "other shapes" if each.batch_size is None else str(each.batch_size)
        numbers = (each.largest_score_difference, each.largest_alignment_difference)
        largest = max((number for number in numbers if number is not None), default=None)
        cells = [
            each.artefact,
            batch,
            str(each.sentences),
            str(each.equal),
            "" if largest is None else f"{largest:.1e}",
            "passed" if each.passed else "**failed**",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _differences(comparisons: Iterable[Comparison]) -> list[str]:
    """The first outputs that differ, near-ties with their gap."""
    lines = []
    for each in comparisons:
        for objection in each.objections:
            lines.append(f"- {each.artefact}: {objection}")
        for mismatch in each.mismatches:
            gap = (
                ""
                if mismatch.score_gap is None
                else f"; gap of the scores {mismatch.score_gap:.1e}"
            )
            tie = " (a near tie)" if mismatch.near_tie else ""
            lines.append(
                f"- {each.artefact}: {mismatch.source!r} gave {mismatch.received!r} and not "
                f"{mismatch.expected!r}{gap}{tie}"
            )
    return ["## Differences", "", *lines, ""] if lines else []


def _flat(settings: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} ({_flat(value)})" if isinstance(value, dict) else f"{name} {value}"
        for name, value in settings.items()
    )
