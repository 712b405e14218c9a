"""Draws the three pictures with Matplotlib's objects alone, like `keras_s2s.evaluation.plots`."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from study import bottleneck, tasks

# Okabe and Ito's colours, which readers with any colour vision can tell apart; markers differ too.
STYLES = {
    "none": ("#D55E00", "o"),
    "none, source reversed": ("#E69F00", "s"),
    "dot": ("#56B4E9", "^"),
    "general": ("#0072B2", "D"),
    "concat": ("#009E73", "v"),
}
LABELS = {"none": "no attention", "none, source reversed": "no attention, source reversed"}
CELLS = {"lstm": "LSTM", "gru": "GRU"}


def gradient_shortcut(result: dict[str, Any]) -> Figure:
    """Draws the norm against the distance to the end of the source, before and after training."""
    settings = result["settings"]
    figure = _figure(9, 3.4 * len(settings.cells))
    grid = figure.subplots(len(settings.cells), 2, sharex=True, sharey="row", squeeze=False)
    for row, cell in zip(grid, settings.cells, strict=True):
        for axes, step in zip(row, (0, settings.measured_steps[-1]), strict=True):
            for name in settings.variants:
                for length in settings.lengths:
                    chosen = {"cell": cell, "step": step, "attention": name, "length": length}
                    norms = profiles(result, **chosen)
                    distance = length - np.arange(1, length + 1)
                    last = length == settings.lengths[-1]
                    style = {"color": STYLES[name][0], "linewidth": 1.8 if last else 1.0}
                    mean = norms.mean(axis=0)
                    axes.plot(distance, mean, label=_label(name) if last else None, **style)
                    axes.plot(distance[0], mean[0], marker=STYLES[name][1], markersize=5, **style)
                    if last:
                        band = (norms.min(axis=0), norms.max(axis=0))
                        axes.fill_between(distance, *band, color=style["color"], alpha=0.2, lw=0)
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(numticks=9))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3)
            moment = f"after {step} steps of training" if step else "at initialisation"
            axes.set_title(f"{CELLS[cell]}, {moment}")
        row[0].set_ylabel("norm of ∂loss / ∂state")
    for axes in grid[-1]:
        axes.set_xlabel("source tokens read after the state")
    grid[0, 0].legend(loc="lower left")
    return figure


def profiles(result: dict[str, Any], of: str = "norm", **chosen: Any) -> np.ndarray:
    """Returns the profiles `(seeds, length)` of the runs with these properties."""
    runs = [r for r in result["runs"] if all(r[key] == value for key, value in chosen.items())]
    return np.array([run[of] for run in runs])


def exact_match(result: dict[str, Any]) -> Figure:
    """Draws exact match against source length; lengths that training has not seen are shaded."""
    settings = result["settings"]
    figure = _figure(8, 4.6)
    axes = figure.add_subplot()
    for name, rows in bottleneck.by_variant(result).items():
        colour, marker = STYLES[name]
        axes.plot(
            settings.lengths,
            rows.mean(axis=0),
            label=_label(name),
            color=colour,
            marker=marker,
            markersize=4.5,
            linewidth=1.5,
        )
        axes.fill_between(
            settings.lengths, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.15, lw=0
        )
    edge = settings.training.longest + 0.5
    axes.axvspan(edge, settings.lengths[-1] + 0.5, color="0.9", zorder=0)
    axes.text(edge + 0.3, 1.04, "longer than in training", va="bottom", fontsize=9)
    axes.set_xlim(settings.lengths[0] - 0.5, settings.lengths[-1] + 0.5)
    axes.set_ylim(-0.03, 1.12)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=15))
    axes.set_xlabel("source length")
    axes.set_ylabel("share of sequences copied exactly")
    axes.grid(alpha=0.3)
    axes.legend(loc="center", bbox_to_anchor=(0.485, 0.5), fontsize=8.5)
    return figure


def reverse_alignment(result: dict[str, Any]) -> Figure:
    """Draws heat maps of one sequence, a panel for each score."""
    drawn = result["drawn"]
    figure = _figure(3.9 * len(drawn) + 0.7, 4.5)
    row = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, (name, one) in zip(row, drawn.items(), strict=True):
        image = axes.imshow(one["weights"], cmap="Blues", vmin=0, vmax=1, aspect="equal")
        axes.set_xticks(range(len(one["source"])), [_token(x) for x in one["source"]])
        axes.set_yticks(range(len(one["target"])), [_token(x) for x in one["target"]])
        axes.tick_params(length=0)
        axes.set_xlabel("source")
        axes.set_title(_label(name))
    row[0].set_ylabel("target")
    figure.colorbar(image, ax=list(row), shrink=0.8).set_label("attention weight")
    return figure


def _token(token: int) -> str:
    """Returns a symbol as a letter, so that a row reads as a word."""
    return "end" if token == tasks.END else chr(ord("a") + token - tasks.FIRST)


def _label(name: str) -> str:
    return LABELS.get(name, f"{name} attention")


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), dpi=150)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained")
    return figure
