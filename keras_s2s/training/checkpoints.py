"""Callbacks that save the best weights, the state to resume from, and the last epochs."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_s2s.optimization.moving_average import averaged_weights
from keras_s2s.system.checks import check_positive, check_size, check_whole


class Checkpoint(keras.callbacks.Callback):
    """Saves the best weights, lowers the learning rate, stops early, and lets a killed run go on.

    After every epoch, in this order:

    1. If `monitor` improved, `save_best()` is called, with the moving average of the weights if
       the optimizer keeps one. After every `decay_patience` epochs in a row without improvement,
       the learning rate is multiplied by `decay`.
    2. The whole state is written to `folder/epoch-NNNN`. It consists of the weights, the optimizer,
       the layers' random states and the attributes of this callback. It is first written to a
       temporary sibling that is then renamed, so that a kill leaves the previous epoch's state in
       place.
    3. After `patience` epochs without improvement, or once `monitor` is not a number, the training
       stops.

    A run that goes on after epoch `self.epoch` with the model from `restore` ends as it would have
    ended without the break.

    Args:
        folder: folder of the state. Only the state of the newest epoch is kept.
        save_best: function that saves the weights, called when the monitored value is the best so
            far. It must write atomically.
        monitor: name of a value in the epoch's logs.
        higher_is_better: whether the value should rise, as BLEU does, or fall, as perplexity does.
        patience: number of epochs without improvement before the training stops.
        decay: factor on the learning rate after epochs without improvement. 1 leaves the rate
            unchanged.
        decay_patience: number of epochs without improvement before each application of the factor.

    Attributes:
        best: best value so far; infinite before there is one.
        best_epoch: epoch of the best value, counted from 1; 0 before there is one.
        epoch: number of finished epochs.
        history: logs and learning rate of each finished epoch.

    Raises:
        ValueError: If `patience` or `decay_patience` is below 1, or if `decay` is not above 0 and
            at most 1.
    """

    def __init__(
        self,
        folder: Path,
        save_best: Callable[[], None],
        *,
        monitor: str = "val_perplexity",
        higher_is_better: bool = False,
        patience: int = 5,
        decay: float = 0.5,
        decay_patience: int = 1,
    ) -> None:
        super().__init__()
        check_size("patience", patience)
        check_size("decay_patience", decay_patience)
        check_positive("decay", decay, most=1)
        self.folder = folder
        self.save_best = save_best
        self.monitor = monitor
        self.higher_is_better = higher_is_better
        self.patience = patience
        self.decay = decay
        self.decay_patience = decay_patience
        self.best = -math.inf if higher_is_better else math.inf
        self.best_epoch = 0
        self.epoch = 0
        self.history: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        """Whether `patience` epochs in a row improved nothing, or the last value is NaN."""
        diverged = bool(self.history) and math.isnan(self.history[-1][self.monitor])
        return diverged or self.epoch - self.best_epoch >= self.patience

    def restore(self) -> keras.Model | None:
        """Restores the newest saved state, if there is one.

        Returns:
            The model as it was after epoch `self.epoch`, compiled, or None if nothing was saved.
        """
        saved = sorted(self.folder.glob("epoch-*/progress.json"))
        if not saved:
            return None
        progress = json.loads(saved[-1].read_text(encoding="utf-8"))
        self.best = progress["best"]
        self.best_epoch = progress["best_epoch"]
        self.epoch = progress["epoch"]
        self.history = progress["history"]
        model = keras.saving.load_model(saved[-1].with_name("model.keras"))
        states = _random_states(model)
        for state, value in zip(states, progress["random_states"], strict=True):
            state.assign(value)
        return model

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        if self.monitor not in values:
            raise ValueError(
                f"`monitor` must be one of the epoch's values, {', '.join(sorted(values))}; got "
                f"{self.monitor!r}."
            )
        self.epoch = epoch + 1
        rate = float(self.model.optimizer.learning_rate)
        self.history.append({**values, "learning_rate": rate})
        value = values[self.monitor]
        if value > self.best if self.higher_is_better else value < self.best:
            self.best, self.best_epoch = value, self.epoch
            with averaged_weights(self.model):
                self.save_best()
        elif self.decay < 1 and (self.epoch - self.best_epoch) % self.decay_patience == 0:
            self.model.optimizer.learning_rate = rate * self.decay
        self._save()
        if self.finished:
            self.model.stop_training = True

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"epoch-{self.epoch:04d}"
        temporary = self.folder / f".tmp-{name}"
        for unfinished in (temporary, self.folder / name):
            shutil.rmtree(unfinished, ignore_errors=True)
        temporary.mkdir()
        self.model.save(temporary / "model.keras")
        progress = {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "epoch": self.epoch,
            "history": self.history,
            "random_states": [
                keras.ops.convert_to_numpy(state).tolist() for state in _random_states(self.model)
            ],
        }
        (temporary / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
        temporary.rename(self.folder / name)
        for state in self.folder.iterdir():
            if state.name != name and state.name.startswith(("epoch-", ".tmp-")):
                shutil.rmtree(state)


def _random_states(model: keras.Model) -> list[Any]:
    """Returns the seeds of dropout, which Keras does not save because they are not weights."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


class LastEpochs(keras.callbacks.Callback):
    """Keeps a file for each of the last epochs, such as `folder/epoch-012.keras`.

    In a list of callbacks it belongs before `Checkpoint`, because a run that is killed between the
    two then repeats the epoch and writes its file again. An epoch whose `monitor` is not a number
    leaves no file. If the optimizer keeps a moving average of the weights, the files hold the
    average.

    Args:
        folder: folder of the files.
        save: function that writes a file to the path that it is given. It must write atomically.
        count: number of last epochs whose files are kept; 0 keeps none.
        monitor: name of a value in the epoch's logs.

    Raises:
        ValueError: If `count` is below 0.
    """

    def __init__(
        self,
        folder: Path,
        save: Callable[[Path], None],
        count: int,
        *,
        monitor: str = "val_perplexity",
    ) -> None:
        super().__init__()
        check_whole("count", count, 0)
        self.folder = folder
        self.save = save
        self.count = count
        self.monitor = monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.count:
            return
        finished = epoch + 1
        if not math.isnan(float((logs or {}).get(self.monitor, 0.0))):
            self.folder.mkdir(parents=True, exist_ok=True)
            with averaged_weights(self.model):
                self.save(self.folder / f"epoch-{finished:03d}.keras")
        for file in self.folder.glob("epoch-*.keras"):
            number = file.stem.removeprefix("epoch-")
            # Files of later epochs come from an earlier run that went further.
            if number.isdecimal() and not finished - self.count < int(number) <= finished:
                file.unlink()
