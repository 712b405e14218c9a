"""Training as one call: two text files in, a translator file out. What `keras-s2s train` runs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_s2s.data.hosts import Hosts
from keras_s2s.optimization.moving_average import EvaluateMovingAverage
from keras_s2s.system.files import write_json
from keras_s2s.training import folder
from keras_s2s.training.checkpoints import LastEpochs
from keras_s2s.training.construction import decoded_metrics
from keras_s2s.training.folder import CHECKPOINT, EPOCHS, HISTORY
from keras_s2s.training.preparation import Preparation, check_hosts, prepare
from keras_s2s.training.progress import ProgressBar
from keras_s2s.training.retraces import RetraceWarning
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.archive import TRANSLATOR, save_translator


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left behind.

    Attributes:
        path: the saved translator, with the weights of the best epoch.
        best_epoch: the epoch with the best `settings.monitor` of the validation text, from 1.
        best: that value.
        epochs: epochs run in all.
        parameters: number of weights.
        history: per epoch, the values of training and validation.
    """

    path: Path
    best_epoch: int
    best: float
    epochs: int
    parameters: int
    history: list[dict[str, float]]


def train(
    settings: TrainingSettings,
    *,
    resume: bool = False,
    force: bool = False,
    hosts: Hosts | None = None,
    console: Console | None = None,
) -> TrainingResult:
    """Trains a translator and writes it to `settings.output`.

    1. Read the training pairs, train the tokenizers, tokenise; filter by length. Up to here nothing
       is written, so a mistake in the data costs no earlier training.
    2. Fit a `Seq2Seq` with teacher forcing. Whenever `settings.monitor` is the best so far,
       write `translator.keras`; after every epoch write the whole state below `checkpoint/`, and
       with `keep_checkpoints` the translator below `epochs/`; all of them atomically.
    3. Stop after `patience` epochs without improvement, or after `epochs`.

    The folder then holds `translator.keras`, `settings.json` (every setting as it was used; the
    same settings give the same weights on the same machine), `history.json` and `checkpoint/`,
    which only `resume` needs. The seeds of Python, NumPy and TensorFlow are set to `settings.seed`.

    Args:
        settings: everything that decides the result.
        resume: go on after the last finished epoch in `settings.output`, to the weights that the
            run would have had without the break. All settings but `output`, `epochs`, `patience`,
            `keep_checkpoints` and `ids_on_disk` must be those it began with.
        force: replace an earlier training in `settings.output`.
        hosts: from `join_hosts`, where several processes train together, each called with the same
            settings and the same files: the weights are those of one process, within float32. Only
            process 0 reads and writes `settings.output`, and prints.
        console: where progress is printed; standard error when omitted.

    Returns:
        A `TrainingResult`.

    Raises:
        FileExistsError: If the output is a file, or holds a training, and neither `resume` nor
            `force` was given.
        ValueError: If settings, text files or a saved state cannot be used, or hosts have different
            settings or files, or should decode. The message says which.
        RuntimeError: If the training diverged before it brought anything.
    """
    hosts = hosts or Hosts()
    if hosts.leads:
        folder.check_output(settings, resume=resume, force=force)
    else:
        console = Console(quiet=True)
    check_hosts(settings, hosts, resume)
    begun = CHECKPOINT if resume else None
    with folder.host_output(hosts, Path(settings.output), begun) as output:
        # Whatever a process does here, all of them do, each in an output of its own.
        console = console or Console(stderr=True)
        preparation = prepare(settings, hosts, output, resume=resume, force=force, console=console)
        _fit(preparation)
        result = _keep(preparation)
    return dataclasses.replace(result, path=Path(settings.output) / TRANSLATOR)


def _fit(preparation: Preparation) -> None:
    """Trains for the epochs that are left: none if the run had ended."""
    settings, checkpoint, say = preparation.settings, preparation.checkpoint, preparation.say
    if checkpoint.epoch >= settings.epochs or checkpoint.finished:
        say("nothing left to train: the run had ended")
        return
    bar = ProgressBar(settings.epochs, preparation.console)
    metrics = decoded_metrics(settings, preparation.translator, say)
    last_epochs = LastEpochs(
        preparation.output / EPOCHS,
        partial(save_translator, preparation.translator),
        settings.keep_checkpoints,
        monitor=checkpoint.monitor,
    )
    batching: dict[str, Any] = {**preparation.batching, "hosts": preparation.shares}
    try:
        preparation.model.fit(
            preparation.training.dataset(
                **batching, shuffle_seed=settings.seed, first_epoch=checkpoint.epoch
            ),
            validation_data=preparation.validation.dataset(**batching, shuffle_seed=None),
            initial_epoch=checkpoint.epoch,
            epochs=settings.epochs,
            verbose=0,
            shuffle=False,  # the corpus shuffles
            callbacks=[
                *(EvaluateMovingAverage(), *metrics, last_epochs, checkpoint, bar),
                RetraceWarning(say=say),
            ],
        )
    finally:
        bar.close()
    for metric in metrics:
        say(f"{metric.name}: {metric.signature}")


def _keep(preparation: Preparation) -> TrainingResult:
    """Writes the history and says what the training brought.

    Raises:
        RuntimeError: If it brought nothing.
    """
    settings, checkpoint = preparation.settings, preparation.checkpoint
    write_json(preparation.output / HISTORY, checkpoint.history)
    if not checkpoint.best_epoch:
        raise RuntimeError(
            f"The training diverged: none of {checkpoint.epoch} epochs brought a finite validation "
            f"{settings.monitor}, so there is no {TRANSLATOR}. Lower `learning_rate` (it was "
            f"{settings.learning_rate}) or `clip_norm` ({settings.clip_norm})."
        )
    if math.isnan(checkpoint.history[-1][checkpoint.monitor]):
        preparation.say(
            f"diverged in epoch {checkpoint.epoch}; epoch {checkpoint.best_epoch} is kept"
        )
    return TrainingResult(
        preparation.output / TRANSLATOR,
        checkpoint.best_epoch,
        checkpoint.best,
        checkpoint.epoch,
        preparation.model.count_params(),
        checkpoint.history,
    )
