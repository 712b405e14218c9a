"""Shows the progress of a training, with a bar for the running epoch and a line for each epoch."""

from __future__ import annotations

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from keras_s2s.evaluation.metrics import METRICS


class ProgressBar(keras.callbacks.Callback):
    """Shows a bar for the running epoch on a terminal, and prints a line for each finished epoch.

    Args:
        epochs: total number of epochs.
        console: console on which to print. If it is not a terminal, it gets the lines without a
            bar.
    """

    def __init__(self, epochs: int, console: Console) -> None:
        super().__init__()
        self.epochs = epochs
        self.console = console
        self._bar: Progress | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.perf_counter()
        if not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
            console=self.console,
            transient=True,
        )
        self._task = self._bar.add_task(
            f"epoch {epoch + 1}/{self.epochs}", total=self.params.get("steps"), values=""
        )
        self._bar.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=batch + 1, values=_values(logs or {}, ""))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description="validation")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.close()
        logs = logs or {}
        line = f"epoch {epoch + 1}/{self.epochs}  {_values(logs, '')}"
        validation = _values(logs, "val_")
        if validation:
            line += f"  |  validation  {validation}"
        seconds = time.perf_counter() - self._started
        self.console.print(
            f"{line}  |  {seconds:.0f} s", highlight=False, markup=False, soft_wrap=True
        )

    def close(self) -> None:
        """Removes the bar from the terminal, even after an interruption."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


# A value has the same width in every epoch, so that the lines form columns.
_FORMATS = {
    "loss": "{:6.3f}",
    "accuracy": "{:6.2%}",
    **{name: metric.template for name, metric in METRICS.items()},
}


def _values(logs: dict[str, Any], prefix: str) -> str:
    """Writes the values whose names begin with a prefix, such as `loss  1.203  accuracy 56.10%`."""
    return "  ".join(
        f"{name} {template.format(float(logs[prefix + name]))}"
        for name, template in _FORMATS.items()
        if prefix + name in logs
    )
