"""Pictures of a model: what each target token attended to, and how training went.

Owns figures and their files. Draws with Matplotlib's objects only (no `pyplot`, no `rcParams`), so
it works in servers, threads and notebooks alike and changes nothing for the caller. Needs
Matplotlib (extra `plots`).
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_s2s.evaluation import glyphs
from keras_s2s.system.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

SUFFIXES = (".png", ".svg", ".pdf")

LARGEST_FONT, SMALLEST_FONT = 12.0, 7.0  # points
LARGEST_CELL, SMALLEST_CELL = 0.6, 0.17  # inches; the smallest holds a line of the smallest font
LONGEST_SIDE = 12_000  # pixels; a larger figure gets a lower resolution, for memory's sake


def plot_alignment(
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    weights: Any,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Heat map of attention: one row per target token, one column per source token.

    The darker a cell, the more its target token attended to its source token; the colours run from
    0 to the largest weight. The figure grows with the number of tokens, and every token is named.
    White space in a token is drawn as a mark (`␣`, `↵`, `⇥`), and a character that no available
    font has as `□`: Chinese, Japanese and Korean need one of `glyphs.OTHER_FONTS` installed.

    Args:
        source_tokens: `S` strings, 1 or more, in the order of the columns.
        target_tokens: `T` strings, 1 or more, in the order of the rows.
        weights: array or tensor `(T, S)` of floats; each row is a probability distribution, or sums
            to less where weight fell on columns that were cut off. Cut padding off first.
        title: a line above the picture.
        path: where to write it, as PNG, SVG or PDF by its suffix. A file that is there is replaced
            only by a complete new one. None writes nothing.

    Returns:
        The `matplotlib.figure.Figure`, to be changed or written again by the caller.

    Raises:
        TypeError: tokens that are one string, or not strings.
        ValueError: no tokens, weights of another shape, or weights that are no probabilities; or a
            `path` with another suffix.
        FileNotFoundError: the folder of `path` does not exist.
        ModuleNotFoundError: Matplotlib is not installed.

    Example:
        ```python
        from keras_s2s.evaluation.plots import plot_alignment

        weights = [[0.9, 0.1, 0.0], [0.1, 0.2, 0.7]]
        figure = plot_alignment(["le", "chat", "noir"], ["black", "cat"], weights)
        ```
    """
    _check_tokens("source_tokens", source_tokens)
    _check_tokens("target_tokens", target_tokens)
    values = _check_weights(weights, len(target_tokens), len(source_tokens))
    file = None if path is None else _check_path(path)
    _require_matplotlib()

    cell = min(max(8.0 / max(values.shape), SMALLEST_CELL), LARGEST_CELL)
    font = glyphs.font(min(max(41.0 * cell, SMALLEST_FONT), LARGEST_FONT))
    rows = [glyphs.token_label(token) for token in target_tokens]
    columns = [glyphs.token_label(token) for token in source_tokens]
    column_label = glyphs.widest(columns, font)
    upright = column_label > 0.9 * cell

    line = font.get_size_in_points() / 72
    left = glyphs.widest(rows, font) + line + 0.3
    top = (column_label if upright else line) + line + 0.35
    figure, axes, scale = _sheet(cell * values.shape[1], cell * values.shape[0], left, top, title)
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=values.max() or 1, aspect="equal")
    _name_axis(axes.xaxis, "source", columns, font, 90 if upright else 0)
    _name_axis(axes.yaxis, "target", rows, font, 0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    if max(values.shape) <= 10:
        _write_values(axes, values)
    figure.colorbar(image, cax=scale).set_label("attention weight", font=font)
    scale.tick_params(labelsize=font.get_size_in_points())

    if file is not None:
        _write(figure, file)
    return figure


def plot_learning_curve(
    history: Mapping[str, Sequence[float]], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Every quantity of a training run over its epochs, training and validation in one panel.

    Args:
        history: what `model.fit(...).history` holds: name → one number per epoch. `val_loss` is
            drawn beside `loss`, and so on; the panels come in the order of the names.
        path: where to write it, as PNG, SVG or PDF by its suffix; see `plot_alignment`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: an empty history, lists of different lengths, or a `path` with another suffix.
        FileNotFoundError, ModuleNotFoundError: as `plot_alignment`.

    Example:
        ```python
        from keras_s2s.evaluation.plots import plot_learning_curve

        figure = plot_learning_curve({"loss": [2.0, 1.1, 0.8], "val_loss": [1.9, 1.3, 1.2]})
        ```
    """
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            "`history` must hold lists of one length, one number per epoch; got lengths "
            f"{lengths}. Leave out what was not measured in every epoch."
        )
    file = None if path is None else _check_path(path)
    _require_matplotlib()

    panels = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = _new_figure(4.5 * columns, 3.4 * rows)
    figure.set_layout_engine("constrained")
    for position, panel in enumerate(panels, start=1):
        _draw_curves(figure.add_subplot(rows, columns, position), panel, history)
    if file is not None:
        _write(figure, file)
    return figure


def plot_lines(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_name: str,
    y_name: str,
    *,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Several lines in one panel: learning curves of several runs, scores by length.

    Args:
        lines: name → places on the horizontal axis and as many values.
        x_name: of the horizontal axis.
        y_name: of the vertical axis.
        path: where to write it, as PNG, SVG or PDF by its suffix; see `plot_alignment`.

    Returns:
        The `matplotlib.figure.Figure`.

    Raises:
        ValueError: no lines, a line with more places than values or fewer, or a `path` with another
            suffix.
        FileNotFoundError, ModuleNotFoundError: as `plot_alignment`.
    """
    if not lines or any(len(x) != len(y) or not x for x, y in lines.values()):
        raise ValueError(
            "`lines` must hold as many places as values, at least one; got "
            f"{ {name: (len(x), len(y)) for name, (x, y) in lines.items()} }."
        )
    file = None if path is None else _check_path(path)
    _require_matplotlib()

    figure = _new_figure(7, 4.5)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    for name, (x, y) in lines.items():
        axes.plot(x, y, label=name, marker="o", markersize=3)
    axes.set_xlabel(x_name, parse_math=False)
    axes.set_ylabel(y_name, parse_math=False)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    if file is not None:
        _write(figure, file)
    return figure


def _draw_curves(axes: Axes, panel: str, history: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, label, colour, marker in (
        (panel, "training", "tab:blue", "o"),
        (f"val_{panel}", "validation", "tab:orange", "s"),
    ):
        if name in history:
            epochs = range(1, len(history[name]) + 1)
            axes.plot(epochs, history[name], label=label, color=colour, marker=marker, markersize=3)
    axes.set_title(panel.replace("_", " "), parse_math=False)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def _check_tokens(name: str, tokens: Sequence[str]) -> None:
    if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
        raise TypeError(
            f"`{name}` must be a sequence of strings, one per token; got {repr(tokens)[:80]}. "
            "For the characters of a text use list(text)."
        )
    if len(tokens) == 0:
        raise ValueError(f"`{name}` must hold at least one token; got none.")


def _check_weights(weights: Any, targets: int, sources: int) -> np.ndarray:
    values = np.asarray(weights).astype("float64")
    if values.shape != (targets, sources):
        raise ValueError(
            f"`weights` must have shape (target tokens, source tokens) = {(targets, sources)}; "
            f"got {values.shape}. Cut padding off, as in weights[:{targets}, :{sources}]."
        )
    # 0.01: rows in bfloat16, with its 8 bits of precision, add up to 1 only that closely.
    if not (values >= 0).all() or not (values.sum(axis=1) <= 1.01).all():
        raise ValueError(
            "`weights` must be attention weights: at least 0, each row with a sum of at most 1; "
            f"got values from {values.min():.4g} to {values.max():.4g} and a largest row sum of "
            f"{values.sum(axis=1).max():.4g}. Scores go through a softmax first."
        )
    return values


def _check_path(path: str | os.PathLike[str]) -> Path:
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"`path` must end in one of {', '.join(SUFFIXES)}; got {str(file)!r}.")
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"`path` must lie in a folder that exists; got {str(file)!r}. Create the folder first."
        )
    return file


def _require_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            "Plots need Matplotlib, which is not installed. Run: pip install 'keras-s2s[plots]'"
        )


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=min(150.0, LONGEST_SIDE / max(width, height)))
    FigureCanvasAgg(figure)
    return figure


def _sheet(
    wide: float, high: float, left: float, top: float, title: str | None
) -> tuple[Figure, Axes, Axes]:
    """A figure with axes of `wide` by `high` for the cells, and axes for the colour bar.

    All in inches, so that neither cells nor labels shrink to make room for each other.
    """
    bar = max(high, 1.6)  # beside a single row, its own label still needs this much
    width, height = left + wide + 1.2, top + bar + 0.2
    heading = glyphs.font(LARGEST_FONT)
    if title:
        title = glyphs.printable_line(title)
        width = max(width, glyphs.widest([title], heading) + 0.4)
        top, height = top + 0.3, height + 0.3
    figure = _new_figure(width, height)
    if title:
        figure.suptitle(title, y=1 - 0.12 / height, va="top", font=heading, parse_math=False)

    def place(x: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, 1 - (top + h) / height, w / width, h / height))

    return figure, place(left, wide, high), place(left + wide + 0.2, 0.15, bar)


def _name_axis(axis: Axis, name: str, labels: list[str], font: FontProperties, turn: int) -> None:
    """One tick and label per token, and a line between neighbours."""
    axis.set_ticks(range(len(labels)), labels, font=font, rotation=turn, parse_math=False)
    axis.set_ticks(np.arange(1, len(labels)) - 0.5, minor=True)
    axis.grid(which="minor", color="0.85", linewidth=0.4)
    axis.set_tick_params(which="minor", length=0)
    axis.set_label_text(name, font=font)
    axis.labelpad = 6


def _write_values(axes: Axes, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > 0.6 * values.max() else "0.3"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)


def _write(figure: Figure, file: Path) -> None:
    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:].lower(), dpi=figure.dpi)
