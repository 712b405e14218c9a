"""Plots of a model: heat maps of attention, learning curves, and several lines in one panel.

Plots need Matplotlib, which the extra `plots` installs. They use only Matplotlib's objects, neither
`pyplot` nor `rcParams`. So they work in servers, threads and notebooks alike, and change no setting
of the caller. A plot returns its figure and writes a file if it is given a path.
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
from keras_s2s.evaluation.figures import heat_map_figure, name_axis, new_figure, write_values
from keras_s2s.system.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

LARGEST_FONT, SMALLEST_FONT = 12.0, 7.0  # points, for the labels of tokens
LARGEST_CELL, SMALLEST_CELL = 0.6, 0.17  # inches; the smallest holds a line of the smallest font


def plot_alignment(
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    weights: Any,
    *,
    title: str | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draws a heat map of attention, with a row per target token and a column per source token.

    The darker a cell, the more its target token attended to its source token. The colours run from
    0 to the largest weight. Maps of at most 10 tokens on each side also show the weights as
    numbers. The figure grows with the number of tokens, so that every token has its label. White
    space in a token is drawn as a mark (`␣`, `↵`, `⇥`). A character that no available font has is
    drawn as `□`. Chinese, Japanese and Korean need one of `glyphs.OTHER_FONTS` installed.

    Args:
        source_tokens: `S` strings, 1 or more, in the order of the columns.
        target_tokens: `T` strings, 1 or more, in the order of the rows.
        weights: array or tensor `(T, S)` of floats, such as `Alignment.weights`. Each row is a
            probability distribution, or sums to less if weight fell on columns that were cut off.
            Cut padding off first.
        title: a line above the picture, or None.
        path: the file to write, whose suffix makes it a PNG, SVG or PDF. A file that is there is
            replaced by a complete new one, or not at all. None writes nothing.

    Returns:
        The `matplotlib.figure.Figure`, which the caller may change or write again.

    Raises:
        TypeError: If tokens are one string, or are not strings.
        ValueError: If there are no tokens, if `weights` has another shape or holds no
            probabilities, or if `path` has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.
        ModuleNotFoundError: If Matplotlib is not installed.

    Example:
    >>> weights = [[0.0, 0.1, 0.9], [0.1, 0.8, 0.1]]
    >>> figure = plot_alignment(["le", "chat", "noir"], ["black", "cat"], weights)
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['black', 'cat']
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
    width, height = cell * values.shape[1], cell * values.shape[0]
    figure, axes, scale = heat_map_figure(width, height, left, top, title)
    image = axes.imshow(values, cmap="Blues", vmin=0, vmax=values.max() or 1, aspect="equal")
    name_axis(axes.xaxis, "source", columns, font, 90 if upright else 0)
    name_axis(axes.yaxis, "target", rows, font, 0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    if max(values.shape) <= 10:
        write_values(axes, values)
    figure.colorbar(image, cax=scale).set_label("attention weight", font=font)
    scale.tick_params(labelsize=font.get_size_in_points())

    if file is not None:
        _write(figure, file)
    return figure


def plot_learning_curve(
    history: Mapping[str, Sequence[float]], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draws each quantity of a training run over its epochs, in one panel per quantity.

    The curves of a quantity in training and in validation, such as `loss` and `val_loss`, share a
    panel. The panels come in the order of the names.

    Args:
        history: the attribute `history` of the object that `model.fit` returns, a mapping from the
            name of each quantity to a list of one number per epoch.
        path: the file to write, whose suffix makes it a PNG, SVG or PDF. A file that is there is
            replaced by a complete new one, or not at all. None writes nothing.

    Returns:
        The `matplotlib.figure.Figure`, which the caller may change or write again.

    Raises:
        ValueError: If the history is empty, if its lists differ in length, or if `path` has another
            suffix.
        FileNotFoundError: If the folder of `path` does not exist.
        ModuleNotFoundError: If Matplotlib is not installed.

    Example:
    >>> figure = plot_learning_curve({"loss": [2.0, 1.1, 0.8], "val_loss": [1.9, 1.3, 1.2]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    lengths = {name: len(values) for name, values in history.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            "`history` must hold lists of one length, one number per epoch; got lengths "
            f"{lengths}. Leave out quantities that were not measured in every epoch."
        )
    file = None if path is None else _check_path(path)
    _require_matplotlib()

    panels = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(4.5 * columns, 3.4 * rows)
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
    """Draws several lines in one panel, such as learning curves of several runs.

    Args:
        lines: a mapping from the name of each line to its places on the horizontal axis and to as
            many values.
        x_name: the label of the horizontal axis.
        y_name: the label of the vertical axis.
        path: the file to write, as for `plot_alignment`.

    Returns:
        The `matplotlib.figure.Figure`, which the caller may change or write again.

    Raises:
        ValueError: If there are no lines, if a line does not have as many places as values, or if
            `path` has another suffix.
        FileNotFoundError: If the folder of `path` does not exist.
        ModuleNotFoundError: If Matplotlib is not installed.

    Example:
    >>> runs = {"dot": ([1, 2], [20.1, 24.3]), "general": ([1, 2], [21.0, 25.2])}
    >>> plot_lines(runs, "epoch", "BLEU").axes[0].get_ylabel()
    'BLEU'
    """
    if not lines or any(len(x) != len(y) or not x for x, y in lines.values()):
        raise ValueError(
            "`lines` must hold as many places as values, at least one of each; got "
            f"{ {name: (len(x), len(y)) for name, (x, y) in lines.items()} } places and values."
        )
    file = None if path is None else _check_path(path)
    _require_matplotlib()

    figure = new_figure(7, 4.5)
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
    # The 0.01 is for rows in bfloat16, whose 8 bits of precision allow only roughly a sum of 1.
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


def _write(figure: Figure, file: Path) -> None:
    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:].lower(), dpi=figure.dpi)
