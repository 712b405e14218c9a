"""Presents the results of a recipe as one table in Markdown and two plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.recipes.recipe import Published, Recipe, in_words, members_in_words

LEARNING_CURVE = "learning-curve.png"
BY_LENGTH = "by-length.png"

# The record of a training, an ensemble or an int8 model in `results.json`.
Result = Mapping[str, Any]


class _Column(NamedTuple):
    """A column of scores in the table, with one metric of one evaluation."""

    evaluation: str
    metric: str

    @property
    def heading(self) -> str:
        return f"{self.evaluation}: {METRICS[self.metric].label}"

    def evaluation_of(self, result: Result) -> Result:
        """Returns the record of this column's evaluation in a result."""
        evaluations: list[Result] = result["evaluations"]
        (evaluation,) = (e for e in evaluations if e["name"] == self.evaluation)
        return evaluation

    def value(self, result: Result) -> float:
        """Returns the score of a training or an ensemble, in the unit of the heading."""
        return self.points(self.evaluation_of(result))

    def points(self, scored: Result) -> float:
        """Returns the score of anything that has `scores`, in the unit of the heading."""
        value: float = scored["scores"][self.metric]["value"]
        return METRICS[self.metric].points(value)


def table(recipe: Recipe, results: Result) -> str:
    """Writes the results as Markdown, with rows of runs, their mean, ensembles and published work.

    Args:
        recipe: the recipe.
        results: the record that `run_recipe` returns and writes to `results.json`.

    Returns:
        The table, followed by the machine, the versions and the signatures.

    Raises:
        ValueError: If the results are of another recipe, or if there are no results.
    """
    trainings: list[dict[str, Any]] = results["results"]
    if results["recipe"] != recipe.name or not trainings:
        raise ValueError(
            f"These must be results of recipe {recipe.name}; got {len(trainings)} of "
            f"{results['recipe']}."
        )
    columns = [
        _Column(evaluation.name, metric)
        for evaluation in recipe.evaluations
        for metric in evaluation.metrics
    ]
    by_run = _by_run(recipe, trainings)
    headings = ("seeds", "parameters", "epochs", "core minutes", "what differs")
    rows = [_row(recipe.title, *(column.heading for column in columns), *headings)]
    rows.append(_row(*["---"] * (1 + len(columns) + len(headings))))
    for run, of_run in by_run.items():
        rows.append(_run_row(run, of_run, columns))
        rows += _int8_row(run, of_run, columns)
        rows += _ensemble_rows(run, results.get("ensembles", ()), columns)
    if recipe.mean_of_runs and len(by_run) == len(recipe.runs):
        rows.append(_row("**mean**", *_means(by_run, columns), "", "", "", "", ""))
    rows += [_published_row(published, columns) for published in recipe.published]
    return "\n".join([*rows, "", *_notes(trainings), ""])


def plots(recipe: Recipe, results: Result, folder: Path) -> list[Path]:
    """Draws the monitored value by epoch, and BLEU by source length if it was computed.

    Args:
        recipe: the recipe.
        results: the record that `run_recipe` returns and writes to `results.json`.
        folder: folder that receives the pictures.

    Returns:
        The files of the pictures.
    """
    from keras_s2s.evaluation.plots import plot_lines

    trainings = results["results"]
    monitor = f"val_{trainings[0]['monitor']}"
    curves = {
        f"{training['run']}, seed {training['seed']}": (
            list(range(1, training["epochs"] + 1)),
            [epoch[monitor] for epoch in training["history"]],
        )
        for training in trainings
    }
    files = [folder / LEARNING_CURVE]
    plot_lines(curves, "epoch", monitor.replace("_", " "), path=files[0])
    lengths = {
        training["run"]: _bleu_by_length(trainings, training["run"])
        for training in trainings
        if any(evaluation["by_length"] for evaluation in training["evaluations"])
    }
    if lengths:
        files.append(folder / BY_LENGTH)
        plot_lines(lengths, "words of the source, at least", METRICS["bleu"].title, path=files[1])
    return files


def _by_run(recipe: Recipe, trainings: Sequence[Result]) -> dict[str, list[Result]]:
    """Groups trainings by their run, in the order of the recipe, without untrained runs."""
    groups = {run: [t for t in trainings if t["run"] == run] for run in recipe.runs}
    return {run: group for run, group in groups.items() if group}


def _run_row(run: str, trainings: Sequence[Result], columns: Sequence[_Column]) -> str:
    """Writes the row of a run, over the trainings of its seeds."""
    return _row(
        run,
        *(_spread([column.value(training) for training in trainings]) for column in columns),
        ", ".join(str(training["seed"]) for training in trainings),
        f"{trainings[0]['parameters']:,}",
        _range([training["epochs"] for training in trainings], "{:.0f}"),
        _range(_processor_minutes(trainings), "{:.0f}"),
        _teachers_in_words(trainings),
    )


def _int8_row(run: str, results: Sequence[Result], columns: Sequence[_Column]) -> list[str]:
    """Writes the row of a run's int8 ONNX models, or no row if none was scored."""
    models = {column: _int8_models(results, column) for column in columns}
    sizes = [model["megabytes"] for of_column in models.values() for model in of_column]
    if not sizes:
        return []
    scores = [
        _spread([column.points(model) for model in models[column]]) if models[column] else ""
        for column in columns
    ]
    differs = f"`model.int8.onnx`, {_range(sizes, '{:.1f}')} MB"
    return [_row(f"{run}, int8", *scores, "", "", "", "", differs)]


def _int8_models(results: Sequence[Result], column: _Column) -> list[Result]:
    """Returns the records of the int8 models that the evaluation of a column scored."""
    evaluations = [column.evaluation_of(result) for result in results]
    return [evaluation["int8"] for evaluation in evaluations if evaluation.get("int8")]


def _ensemble_rows(run: str, ensembles: Sequence[Result], columns: Sequence[_Column]) -> list[str]:
    """Writes the rows of the ensembles whose last run this is."""
    rows = []
    for ensemble in ensembles:
        members = ensemble["members"]
        if run == list(members)[-1]:
            name = f"{ensemble['name']}, ensemble"
            scores = [_spread([column.value(ensemble)]) for column in columns]
            parameters = f"{ensemble['parameters']:,}"
            differs = f"{members_in_words(members)} decoded as one model"
            rows.append(_row(name, *scores, "", parameters, "", "", differs))
            rows += _int8_row(name, [ensemble], columns)
    return rows


def _means(by_run: Mapping[str, Sequence[Result]], columns: Sequence[_Column]) -> list[str]:
    """Writes the mean over runs of the mean over their seeds, for each column."""
    return [
        f"**{mean(mean(map(column.value, trainings)) for trainings in by_run.values()):.2f}**"
        for column in columns
    ]


def _published_row(published: Published, columns: Sequence[_Column]) -> str:
    """Writes the row of published results, with empty cells for missing scores."""
    scores = [
        f"{published.scores[column.metric]:.2f}"
        if column.metric in published.scores and published.evaluation in (None, column.evaluation)
        else ""
        for column in columns
    ]
    return _row(published.name, *scores, "", "", "", "", published.differs)


def _notes(trainings: Sequence[Result]) -> list[str]:
    """Writes the notes below the table, with machines, versions, searches and signatures."""
    machines = {
        f"{training['machine']['processor']}, {training['machine']['cores']} cores; "
        + ", ".join(f"{name} {number}" for name, number in training["versions"].items())
        for training in trainings
    }
    evaluations = [evaluation for training in trainings for evaluation in training["evaluations"]]
    searches = {
        f"{evaluation['name']}: beam {evaluation['beam']}, length penalty "
        f"{evaluation['length_penalty']}, {evaluation['sentences']:,} sentences"
        for evaluation in evaluations
    }
    signatures = {
        f"{METRICS[metric].label} `{score['signature']}`"
        for evaluation in evaluations
        for metric, score in evaluation["scores"].items()
    }
    notes = [
        "Scores of several seeds are means, with the lowest and the highest in brackets. Core "
        "minutes are the processor time of a training, with the decoding after its epochs; two "
        "cores take about half of it.",
        *(f"{machine}." for machine in sorted(machines)),
        "; ".join(sorted(searches)) + ".",
        "Signatures: " + "; ".join(sorted(signatures)) + ".",
    ]
    shortened = {_limits_in_words(t["shortened"]) for t in trainings if t["shortened"]}
    if shortened:
        limits = "; ".join(sorted(shortened))
        notes.insert(0, f"**A shortened run** ({limits}), not the recipe's result.")
    return notes


def _bleu_by_length(trainings: Sequence[Result], run: str) -> tuple[list[float], list[float]]:
    """Returns lower bounds of the source length, and a run's BLEU there as the mean over seeds."""
    scores: dict[int, list[float]] = {}
    for training in trainings:
        for evaluation in training["evaluations"] if training["run"] == run else ():
            for group in evaluation["by_length"]:
                scores.setdefault(group["words"][0], []).append(group["scores"]["bleu"]["value"])
    return [float(low) for low in scores], [mean(values) for values in scores.values()]


def _teachers_in_words(trainings: Sequence[Result]) -> str:
    """Writes the teachers of a run, or an empty string if it has none."""
    teachers = [training["teacher"] for training in trainings if training.get("teacher")]
    names = {f"{teacher['run']} ({in_words(teacher['seeds'])})" for teacher in teachers}
    return f"learned from {' or '.join(sorted(names))} too" if names else ""


def _limits_in_words(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in limits.items())


def _processor_minutes(trainings: Sequence[Result]) -> list[float]:
    """Returns the processor times of the trainings that were measured from start to end.

    Wall time would not show the cost, because other processes may have used the cores too.
    """
    minutes = (training["processor_minutes"] for training in trainings)
    return [value for value in minutes if value is not None]


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
