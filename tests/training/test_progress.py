"""Tests of the lines that a training prints about its progress."""

import io

import pytest
from rich.console import Console

from keras_s2s.training.progress import ProgressBar

LOGS = {"loss": 1.234, "accuracy": 0.5, "perplexity": 3.43, "val_loss": 2.0, "val_perplexity": 7.39}


def shown(terminal: bool, interrupted: bool = False) -> str:
    """What one epoch of two batches prints."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    bar = ProgressBar(3, console)
    bar.set_params({"steps": 2, "epochs": 3})
    bar.on_epoch_begin(1)
    for batch in (0, 1):
        bar.on_train_batch_end(batch, LOGS)
    bar.on_test_begin()
    if not interrupted:
        bar.on_epoch_end(1, LOGS)
    bar.close()
    return stream.getvalue()


def test_each_epoch_is_one_line_where_there_is_no_terminal() -> None:
    assert shown(terminal=False) == (
        "epoch 2/3  loss  1.234  accuracy 50.00%  perplexity    3.43"
        "  |  validation  loss  2.000  perplexity    7.39  |  0 s\n"
    )


def test_terminal_shows_a_bar_of_the_batches() -> None:
    printed = shown(terminal=True)

    assert "epoch 2/3" in printed
    assert "2/2" in printed
    assert "validation" in printed


@pytest.mark.parametrize("interrupted", [False, True])
def test_cursor_comes_back(interrupted: bool) -> None:
    printed = shown(terminal=True, interrupted=interrupted)

    assert printed.rindex("\x1b[?25h") > printed.rindex("\x1b[?25l")
