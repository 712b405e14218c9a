"""What a recipe's results look like: one table in Markdown, and its plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.recipes.recipe import Recipe, in_words, members_in_words

LEARNING_CURVE = "learning-curve.png"
BY_LENGTH = "by-length.png"


def table(recipe: Recipe, results: Mapping[str, Any]) -> str:
    """The results as Markdown: a row for each run, the mean of seeds, ensembles, the published.

    Args:
        recipe: the recipe.
        results: what `run_recipe` gave, or what its `results.json` holds.

    Returns:
        The table, with the machine, versions and signatures behind it.

    Raises:
        ValueError: results of another recipe, or none.
    """
    found: list[dict[str, Any]] = results["results"]
    if results["recipe"] != recipe.name or not found:
        raise ValueError(
            f"These must be results of recipe {recipe.name}; got {len(found)} of "
            f"{results['recipe']}."
        )
    columns = [
        (evaluation.name, metric)
        for evaluation in recipe.evaluations
        for metric in evaluation.metrics
    ]
    by_run = {run: [each for each in found if each["run"] == run] for run in recipe.runs}
    by_run = {run: each for run, each in by_run.items() if each}
    lines = [
        _row(
            recipe.title,
            *(f"{name}: {METRICS[metric].label}" for name, metric in columns),
            "seeds",
            "parameters",
            "epochs",
            "core minutes",
            "what differs",
        ),
        _row(*["---"] * (len(columns) + 6)),
    ]
    for run, each in by_run.items():
        values = [[_value(one, *column) for one in each] for column in columns]
        lines.append(
            _row(
                run,
                *map(_spread, values),
                ", ".join(str(one["seed"]) for one in each),
                f"{each[0]['parameters']:,}",
                _range([one["epochs"] for one in each], "{:.0f}"),
                _range(_minutes(each), "{:.0f}"),
                _taught(each),
            )
        )
        lines += _int8_row(run, each, columns)
        lines += _ensemble_rows(run, results.get("ensembles", ()), columns)
    if recipe.mean_of_runs and len(by_run) == len(recipe.runs):
        lines.append(_row("**mean**", *_means(by_run, columns), "", "", "", "", ""))
    for other in recipe.published:
        numbers = [
            f"{other.scores[metric]:.2f}"
            if metric in other.scores and other.evaluation in (None, name)
            else ""
            for name, metric in columns
        ]
        lines.append(_row(other.name, *numbers, "", "", "", "", other.differs))
    return "\n".join([*lines, "", *_notes(found), ""])


def plots(recipe: Recipe, results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws the monitored value by epoch, and scores by source length where there are any.

    Args:
        recipe: the recipe.
        results: as for `table`.
        folder: where the pictures go.

    Returns:
        The files.
    """
    from keras_s2s.evaluation.plots import plot_lines

    found = results["results"]
    monitor = f"val_{found[0]['monitor']}"
    curves = {
        f"{each['run']}, seed {each['seed']}": (
            list(range(1, each["epochs"] + 1)),
            [epoch[monitor] for epoch in each["history"]],
        )
        for each in found
    }
    files = [folder / LEARNING_CURVE]
    plot_lines(curves, "epoch", monitor.replace("_", " "), path=files[0])
    lengths = {
        each["run"]: _by_length(found, each["run"])
        for each in found
        if any(one["by_length"] for one in each["evaluations"])
    }
    if lengths:
        files.append(folder / BY_LENGTH)
        plot_lines(lengths, "words of the source, at least", METRICS["bleu"].title, path=files[1])
    return files


def _by_length(found: Sequence[dict[str, Any]], run: str) -> tuple[list[float], list[float]]:
    """Of one run: lower bounds of the source length, and the mean over seeds of BLEU there."""
    bins: dict[int, list[float]] = {}
    for each in found:
        for evaluation in each["evaluations"] if each["run"] == run else ():
            for one in evaluation["by_length"]:
                bins.setdefault(one["words"][0], []).append(one["scores"]["bleu"]["value"])
    return [float(low) for low in bins], [mean(values) for values in bins.values()]


def _notes(found: Sequence[dict[str, Any]]) -> list[str]:
    machines = {
        f"{each['machine']['processor']}, {each['machine']['cores']} cores; "
        + ", ".join(f"{name} {number}" for name, number in each["versions"].items())
        for each in found
    }
    searches = {
        f"{one['name']}: beam {one['beam']}, length penalty {one['length_penalty']}, "
        f"{one['sentences']:,} sentences"
        for each in found
        for one in each["evaluations"]
    }
    signatures = {
        f"{METRICS[metric].label} `{score['signature']}`"
        for each in found
        for one in each["evaluations"]
        for metric, score in one["scores"].items()
    }
    shortened = [each for each in found if each["shortened"]]
    notes = [
        "Of several seeds the mean, in brackets lowest and highest. Core minutes are processor "
        "time of the training and of decoding while it goes on; two cores take about half of it.",
        *(f"{machine}." for machine in sorted(machines)),
        "; ".join(sorted(searches)) + ".",
        "Signatures: " + "; ".join(sorted(signatures)) + ".",
    ]
    if shortened:
        what = "; ".join(sorted({_shortened(each["shortened"]) for each in shortened}))
        notes.insert(0, f"**A shortened run** ({what}), not the recipe's result.")
    return notes


def _taught(each: Sequence[Mapping[str, Any]]) -> str:
    """Of the results of a run: whose translations it learned from; nothing where from none."""
    teachers = [one["teacher"] for one in each if one.get("teacher")]
    said = {f"{one['run']} ({in_words(one['seeds'])})" for one in teachers}
    return f"learned from {' or '.join(sorted(said))} too" if said else ""


def _shortened(to: Mapping[str, int]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in to.items())


def _value(result: Mapping[str, Any], evaluation: str, metric: str) -> float:
    (found,) = (one for one in result["evaluations"] if one["name"] == evaluation)
    return _points(found, metric)


def _points(found: Mapping[str, Any], metric: str) -> float:
    value: float = found["scores"][metric]["value"]
    return METRICS[metric].points(value)


def _int8_row(
    run: str, each: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]
) -> list[str]:
    """The row of the int8 ONNX models of a run; none where there were none."""
    found = {
        name: [
            one["int8"]
            for result in each
            for one in result["evaluations"]
            if one["name"] == name and one.get("int8")
        ]
        for name, _ in columns
    }
    sizes = [one["megabytes"] for models in found.values() for one in models]
    if not sizes:
        return []
    values = [
        _spread([_points(one, metric) for one in found[name]]) if found[name] else ""
        for name, metric in columns
    ]
    differs = f"`model.int8.onnx`, {_range(sizes, '{:.1f}')} MB"
    return [_row(f"{run}, int8", *values, "", "", "", "", differs)]


def _ensemble_rows(
    run: str, ensembles: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]]
) -> list[str]:
    """The rows of the ensembles whose last run this is."""
    rows = []
    for each in ensembles:
        if run == list(each["members"])[-1]:
            name = f"{each['name']}, ensemble"
            scores = [_spread([_value(each, *column)]) for column in columns]
            what = f"{members_in_words(each['members'])} decoded as one model"
            rows.append(_row(name, *scores, "", f"{each['parameters']:,}", "", "", what))
            rows += _int8_row(name, [each], columns)
    return rows


def _minutes(each: Sequence[Mapping[str, Any]]) -> list[float]:
    """Processor time of those that were measured whole: others may have used the cores too."""
    minutes = (one["processor_minutes"] for one in each)
    return [one for one in minutes if one is not None]


def _means(
    by_run: Mapping[str, Sequence[dict[str, Any]]], columns: Sequence[tuple[str, str]]
) -> list[str]:
    """The mean over runs of the mean over seeds, for each column."""
    return [
        f"**{mean(mean(_value(one, *column) for one in each) for each in by_run.values()):.2f}**"
        for column in columns
    ]


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _range(values: Sequence[float], template: str) -> str:
    if not values:
        return "not measured"
    low, high = template.format(min(values)), template.format(max(values))
    return low if low == high else f"{low} to {high}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
