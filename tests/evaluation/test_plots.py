"""Plots name their cells rightly, are readable at any size, and change no global state."""

import os
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from keras_s2s.evaluation import figures, plots
from keras_s2s.evaluation.plots import plot_alignment, plot_learning_curve, plot_lines

SIGNATURES = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF"}


def attention(targets: int, sources: int, seed: int = 0) -> np.ndarray:
    scores = 3 * np.random.default_rng(seed).normal(size=(targets, sources))
    weights = np.exp(scores)
    return weights / weights.sum(axis=1, keepdims=True)


def names(count: int) -> list[str]:
    return [f"token{i}" for i in range(count)]


def drawn(figure: Figure) -> Any:
    """The renderer, after everything got its final place."""
    figure.canvas.draw()
    return figure.canvas.get_renderer()  # type: ignore[attr-defined]


def test_rows_are_targets_and_columns_are_sources() -> None:
    weights = attention(2, 3)
    axes = plot_alignment(["le", "chat", "noir"], ["black", "cat"], weights).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["le", "chat", "noir"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["black", "cat"]
    assert axes.get_xlabel() == "source"
    assert axes.get_ylabel() == "target"
    np.testing.assert_array_equal(axes.images[0].get_array(), weights)
    # The first target is the top row: the y axis points down.
    assert axes.get_ylim() == (1.5, -0.5)


def test_colours_run_from_zero_to_the_largest_weight() -> None:
    figure = plot_alignment(names(2), names(2), [[0.2, 0.1], [0.0, 0.05]])
    assert figure.axes[0].images[0].get_clim() == (0, 0.2)
    assert figure.axes[1].get_ylabel() == "attention weight"


def test_rows_without_any_weight_are_drawn() -> None:
    figure = plot_alignment(names(3), names(2), np.zeros((2, 3)))
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_small_plots_print_their_weights_and_large_ones_do_not() -> None:
    small = plot_alignment(names(2), names(1), [[0.25, 0.75]]).axes[0]
    assert [text.get_text() for text in small.texts] == ["0.25", "0.75"]
    assert not plot_alignment(names(11), names(1), attention(1, 11)).axes[0].texts


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(("targets", "sources"), [(5, 5), (60, 60), (1, 40), (120, 1), (10, 32)])
def test_every_token_is_named_without_overlap_inside_the_picture(
    targets: int, sources: int
) -> None:
    figure = plot_alignment(
        names(sources), names(targets), attention(targets, sources), title="A title of its own"
    )
    renderer = drawn(figure)
    axes, scale = figure.axes
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        boxes = [label.get_window_extent(renderer) for label in labels]
        for box, neighbour in pairwise(boxes):
            assert Bbox.intersection(box, neighbour) is None
        assert min(label.get_fontsize() for label in labels) >= plots.SMALLEST_FONT
    assert len(axes.get_xticklabels()) == sources
    assert len(axes.get_yticklabels()) == targets

    (title,) = figure.texts
    parts = [title, axes.xaxis.label, axes.yaxis.label, scale.yaxis.label]
    parts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    page = figure.bbox
    for part in parts:
        box = part.get_window_extent(renderer)
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, part
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, part
    tightest = [part.get_window_extent(renderer) for part in (title, axes.xaxis.label)]
    assert Bbox.intersection(*tightest) is None


def test_numbers_of_tiny_weights_fit_beside_the_colours() -> None:
    for largest in (0.9, 0.0123, 0.000_021):
        figure = plot_alignment(names(2), names(1), [[largest, 0.0]])
        box = figure.axes[1].get_tightbbox(drawn(figure))
        assert box.x1 <= figure.bbox.x1


def test_a_title_wider_than_the_cells_widens_the_picture() -> None:
    figure = plot_alignment(["a"], ["b"], [[1.0]], title="wide " * 30)
    box = figure.texts[0].get_window_extent(drawn(figure))
    assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1


def test_large_alignments_lower_the_resolution() -> None:
    figure = plot_alignment(["a"], names(800), np.ones((800, 1)))
    assert max(figure.get_size_inches()) * figure.dpi <= figures.LONGEST_SIDE + 1


def test_tokens_that_look_like_formulas_or_lack_glyphs_are_drawn_without_a_warning(
    tmp_path: Path,
) -> None:
    tokens = ["$x_1$", "$", "\\frac", "日本", "\u0301", "<s>", "&", " ", "", "\ud800", "%d"]
    for suffix in SIGNATURES:
        file = tmp_path / f"plot{suffix}"
        figure = plot_alignment(tokens, tokens, attention(11, 11), title="$x$ 日 \\ ", path=file)
        assert file.stat().st_size > 1000
    axes = figure.axes[0]
    texts = [*figure.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_suffix_decides_the_format(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"plot.of.it{suffix}"
    plot_alignment(["a"], ["b"], [[1.0]], path=str(file))
    assert file.read_bytes().startswith(SIGNATURES[suffix.lower()])
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]


def test_failed_writing_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "plot.png"
    file.write_bytes(b"the old picture")

    def fail(self: Figure, name: Path, **options: Any) -> None:
        Path(name).write_bytes(b"half a pict")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="No space left"):
        plot_alignment(["a"], ["b"], [[1.0]], path=file)
    assert file.read_bytes() == b"the old picture"
    assert list(tmp_path.iterdir()) == [file]


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    file = tmp_path / "plot.png"
    file.write_bytes(b"the old picture")
    with file.open("rb") as reader:
        plot_alignment(["a"], ["b"], [[1.0]], path=file)
        assert reader.read() == b"the old picture"
    assert file.read_bytes().startswith(SIGNATURES[".png"])


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    plot_alignment(["a"], ["b"], [[1.0]], path=tmp_path / "plot.png")
    (tmp_path / "plain").touch()
    assert (tmp_path / "plot.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_drawing_changes_no_settings_and_never_loads_pyplot(tmp_path: Path) -> None:
    settings = dict(mpl.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    plot_alignment(names(4), names(3), attention(3, 4), path=tmp_path / "a.png")
    plot_learning_curve({"loss": [1.0]}, tmp_path / "b.png")
    assert dict(mpl.rcParams) == settings
    assert ("matplotlib.pyplot" in sys.modules) is loaded


def test_plots_can_be_drawn_from_several_threads(tmp_path: Path) -> None:
    def draw(number: int) -> None:
        file = tmp_path / f"{number}.png"
        plot_alignment(names(4), names(3), attention(3, 4), title="same", path=file)

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"source_tokens": "ab"}, TypeError, r"`source_tokens` must be a sequence.*use list"),
        ({"target_tokens": [1]}, TypeError, r"`target_tokens` must be a sequence.*got \[1\]"),
        ({"target_tokens": [b"a"]}, TypeError, r"got \[b'a'\]"),
        ({"source_tokens": []}, ValueError, "`source_tokens` must hold at least one token"),
        ({"weights": [[0.5], [0.5]]}, ValueError, r"= \(1, 2\); got \(2, 1\).*weights\[:1, :2\]"),
        ({"weights": [0.5, 0.5]}, ValueError, r"got \(2,\)"),
        ({"weights": [[0.5, -0.1]]}, ValueError, "got values from -0.1 to 0.5"),
        ({"weights": [[0.5, 0.6]]}, ValueError, "largest row sum of 1.1.*softmax"),
        ({"weights": [[0.5, float("nan")]]}, ValueError, "got values from nan"),
        (
            {"path": "plot.jpeg"},
            ValueError,
            r"must end in one of .png, .svg, .pdf; got 'plot.jpeg'",
        ),
        ({"path": "plot"}, ValueError, "got 'plot'"),
        ({"path": os.path.join("no", "such", "plot.png")}, FileNotFoundError, "Create the folder"),
    ],
)
def test_wrong_arguments_are_named(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    good: dict[str, Any] = {
        "source_tokens": ["a", "b"],
        "target_tokens": ["c"],
        "weights": [[0.5, 0.5]],
    }
    with pytest.raises(error, match=message):
        plot_alignment(**(good | changes))


def test_weights_rounded_to_low_precision_are_accepted() -> None:
    thirds = np.full((1, 3), 0.334, "float16")  # a sum of 1.002
    plot_alignment(names(3), ["a"], thirds)


def test_missing_matplotlib_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'keras-s2s\[plots\]'"):
        plot_alignment(["a"], ["b"], [[1.0]])


def test_learning_curve_draws_training_and_validation_in_one_panel(tmp_path: Path) -> None:
    history = {
        "loss": [3.0, 2.0],
        "perplexity": [20.0, 7.0],
        "val_loss": [2.5, 2.25],
        "val_accuracy": [0.1, 0.2],
    }
    figure = plot_learning_curve(history, tmp_path / "curve.svg")
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["loss", "perplexity", "accuracy"]
    lines = {line.get_label(): list(line.get_ydata()) for line in panels["loss"].lines}
    assert lines == {"training": [3.0, 2.0], "validation": [2.5, 2.25]}
    assert list(panels["loss"].lines[0].get_xdata()) == [1, 2]
    assert [line.get_label() for line in panels["accuracy"].lines] == ["validation"]
    assert (tmp_path / "curve.svg").read_bytes().startswith(SIGNATURES[".svg"])


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, r"got lengths \{\}"),
        ({"loss": []}, r"got lengths \{'loss': 0\}"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, r"\{'loss': 2, 'val_loss': 1\}"),
    ],
)
def test_histories_that_cannot_be_drawn_are_named(
    history: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_learning_curve(history)


def test_several_lines_share_a_panel_and_name_themselves(tmp_path: Path) -> None:
    lines = {"general": ([1, 2, 3], [5.0, 7.0, 8.0]), "none $x_1$": ([1, 2], [4.0, 4.5])}
    figure = plot_lines(lines, "epoch", "val_bleu", path=tmp_path / "lines.png")

    (axes,) = figure.axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert drawn == {
        name: [list(map(float, point)) for point in zip(x, y, strict=True)]
        for name, (x, y) in lines.items()
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "val_bleu")
    assert (tmp_path / "lines.png").stat().st_size > 1000
    for wrong in ({}, {"a": ([1], [])}, {"a": ([], [])}):
        with pytest.raises(ValueError, match="`lines` must hold as many places as values"):
            plot_lines(wrong, "x", "y")
