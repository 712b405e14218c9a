"""Empty Matplotlib figures, sized in inches, on which `plots` draws.

A figure has its own canvas and is unknown to `pyplot`, so it needs no screen and is freed like any
other object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_s2s.evaluation import glyphs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

HEADING_FONT = 12.0  # points
LONGEST_SIDE = 12_000  # pixels; a larger figure gets a lower resolution, to save memory


def new_figure(width: float, height: float) -> Figure:
    """Makes an empty figure.

    Args:
        width: the width in inches.
        height: the height in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=min(150.0, LONGEST_SIDE / max(width, height)))
    FigureCanvasAgg(figure)
    return figure


def heat_map_figure(
    width: float, height: float, left: float, top: float, title: str | None
) -> tuple[Figure, Axes, Axes]:
    """Makes a figure with axes for the cells of a heat map and axes for its colour bar.

    The figure is as large as its parts, so that neither cells nor labels shrink to make room for
    each other.

    Args:
        width: the width of all cells in inches.
        height: the height of all cells in inches.
        left: the space for labels on the left in inches.
        top: the space for labels above in inches.
        title: a line above the picture, or None.

    Returns:
        The figure, the axes of the cells and the axes of the colour bar.
    """
    bar = max(height, 1.6)  # inches that the label of the bar needs even beside a single row
    whole_width, whole_height = left + width + 1.2, top + bar + 0.2
    heading = glyphs.font(HEADING_FONT)
    if title:
        title = glyphs.printable_line(title)
        whole_width = max(whole_width, glyphs.widest([title], heading) + 0.4)
        top, whole_height = top + 0.3, whole_height + 0.3
    figure = new_figure(whole_width, whole_height)
    if title:
        figure.suptitle(title, y=1 - 0.12 / whole_height, va="top", font=heading, parse_math=False)

    def place(x: float, w: float, h: float) -> Axes:
        bottom = 1 - (top + h) / whole_height
        return figure.add_axes((x / whole_width, bottom, w / whole_width, h / whole_height))

    return figure, place(left, width, height), place(left + width + 0.2, 0.15, bar)


def name_axis(axis: Axis, name: str, labels: list[str], font: FontProperties, turn: int) -> None:
    """Gives an axis its name, a tick and a label for each token, and lines between the tokens.

    Args:
        axis: the axis of a heat map.
        name: the name of the axis.
        labels: the labels of the tokens.
        font: the font of name and labels.
        turn: the angle of the labels in degrees.
    """
    axis.set_ticks(range(len(labels)), labels, font=font, rotation=turn, parse_math=False)
    axis.set_ticks(np.arange(1, len(labels)) - 0.5, minor=True)
    axis.grid(which="minor", color="0.85", linewidth=0.4)
    axis.set_tick_params(which="minor", length=0)
    axis.set_label_text(name, font=font)
    axis.labelpad = 6


def write_values(axes: Axes, values: np.ndarray) -> None:
    """Writes each number of a heat map into its cell, in white where the cell is dark."""
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > 0.6 * values.max() else "0.3"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)
