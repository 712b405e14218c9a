"""The parity run as a page for people: `parity.md`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_s2s.export.parity.quality import quality_lines
from keras_s2s.export.parity.report import Comparison, ParityReport


def parity_markdown(report: ParityReport) -> str:
    """Returns a page of Markdown that says what was compared, how, and with which result.

    Args:
        report: a parity run.
    """
    count, given = report.sentences["count"], report.sentences["given"]
    verdict = "Everything was equal." if report.passed else "**There are differences.**"
    lines = [
        "# Parity with Keras",
        "",
        f"{verdict} {count} sentences were compared, {given} of them given. The others are drawn "
        "at random or awkward on purpose (empty, over-long, invalid UTF-8, NUL). They were "
        "shuffled into batches of 1, 7 and 32. Random inputs of other shapes follow, an empty "
        "batch among them. Texts and tokens must be equal. Numbers up to one may differ by 1e-4, "
        "and larger numbers by 1e-4 of their size.",
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
    lines.append(f"- settings: {_in_line(report.about.get('settings', {}))}")
    return "\n".join(lines) + "\n"


def comparison_table(comparisons: Iterable[Comparison]) -> list[str]:
    """Returns the lines of a Markdown table with a row for each artefact at each batch size."""
    rows = [
        "| artefact | batch | sentences | equal | largest difference | |",
        "|---|---|---|---|---|---|",
    ]
    for comparison in comparisons:
        batch = "other shapes" if comparison.batch_size is None else str(comparison.batch_size)
        numbers = (comparison.largest_score_difference, comparison.largest_alignment_difference)
        largest = max((number for number in numbers if number is not None), default=None)
        cells = [
            comparison.artefact,
            batch,
            str(comparison.sentences),
            str(comparison.equal),
            "" if largest is None else f"{largest:.1e}",
            "passed" if comparison.passed else "**failed**",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _differences(comparisons: Iterable[Comparison]) -> list[str]:
    """Returns the section that lists objections and the first differences, near ties marked."""
    lines = []
    for comparison in comparisons:
        for objection in comparison.objections:
            lines.append(f"- {comparison.artefact}: {objection}")
        for mismatch in comparison.mismatches:
            gap = (
                ""
                if mismatch.score_gap is None
                else f"; the scores differ by {mismatch.score_gap:.1e}"
            )
            tie = " (a near tie)" if mismatch.near_tie else ""
            lines.append(
                f"- {comparison.artefact}: {mismatch.source!r} gave {mismatch.received!r} instead "
                f"of {mismatch.expected!r}{gap}{tie}"
            )
    return ["## Differences", "", *lines, ""] if lines else []


def _in_line(settings: dict[str, Any]) -> str:
    """Writes nested settings on one line."""
    return ", ".join(
        f"{name} ({_in_line(value)})" if isinstance(value, dict) else f"{name} {value}"
        for name, value in settings.items()
    )
