"""Trains a translator in one call, from two text files to a translator file."""

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
    """The outcome of a training run, as `train` returns it.

    Attributes:
        path: file of the saved translator, with the weights of the best epoch.
        best_epoch: number of the epoch with the best `settings.monitor` of the validation text,
            from 1.
        best: value of `settings.monitor` in that epoch.
        epochs: total number of epochs, including those before a break.
        parameters: count of the numbers in the model's weights.
        history: values of training and validation in each epoch, such as `loss`,
            `val_perplexity` and `learning_rate`.

    Example:
        ```python
        result = s2s.train(settings)
        print(f"epoch {result.best_epoch} of {result.epochs}: perplexity {result.best:.2f}")
        print([epoch["val_perplexity"] for epoch in result.history])
        ```
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
    r"""Trains a translator and writes it to `settings.output`.

    1. Read the training pairs, train the tokenizers, tokenise the pairs, and leave out long ones.
       Nothing is written before this step is done, so a mistake in the data destroys no earlier
       training.
    2. Fit a `Seq2Seq` with teacher forcing. Whenever `settings.monitor` is the best so far, write
       `translator.keras`. After every epoch, write the whole state below `checkpoint/`, and with
       `keep_checkpoints` the translator below `epochs/`. Each file is written atomically.
    3. Stop after `patience` epochs without improvement, or after `epochs` epochs.

    The folder then holds `translator.keras`, `settings.json`, `history.json` and `checkpoint/`.
    Only `resume` needs `checkpoint/`. `settings.json` has every setting as it was used, and the
    same settings give the same weights on the same machine. The seeds of Python, NumPy and
    TensorFlow are set to `settings.seed`. `keras-s2s train` calls this function.

    Args:
        settings: everything that decides the result.
        resume: whether to go on after the last finished epoch in `settings.output`, to the weights
            that the run would have had without the break. All settings except `output`, `epochs`,
            `patience`, `keep_checkpoints` and `ids_on_disk` must be the same as at the beginning.
        force: whether to replace an earlier training in `settings.output`.
        hosts: the result of `join_hosts`, if several processes train together. Each of them calls
            `train` with the same settings and the same files. The weights are those of one process,
            within the precision of float32. Only process 0 reads and writes `settings.output`, and
            prints.
        console: console on which progress is printed; standard error when omitted.

    Returns:
        A `TrainingResult`.

    Raises:
        FileExistsError: If the output is a file, or if it holds a training and neither `resume` nor
            `force` is given.
        ValueError: If settings, text files or a saved state cannot be used, if hosts have different
            settings or files, or if several hosts should decode. The message names the cause.
        RuntimeError: If the training diverged before any epoch had a finite `monitor`.

    Example: a small model that learns to reverse words, within a minute.
        ```python
        from pathlib import Path

        import keras_s2s as s2s

        words = ["attention", "decoder", "encoder", "gradient", "sequence", "translation"]
        Path("words.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in words * 50))
        settings = s2s.TrainingSettings(
            output="reversal",
            data="words.tsv",
            val_data="words.tsv",
            source_tokenizer="char",
            embedding_size=16,
            units=32,
            learning_rate=0.01,
            epochs=20,
        )
        result = s2s.train(settings, force=True)
        print(s2s.load_translator(result.path)("decoder"))  # redoced
        ```
    """
    hosts = hosts or Hosts()
    if hosts.leads:
        folder.check_output(settings, resume=resume, force=force)
    else:
        console = Console(quiet=True)
    check_hosts(settings, hosts, resume)
    begun = CHECKPOINT if resume else None  # the other processes get a copy
    with folder.host_output(hosts, Path(settings.output), begun) as output:
        # All processes run the rest, each in its own output folder.
        console = console or Console(stderr=True)
        preparation = prepare(settings, hosts, output, resume=resume, force=force, console=console)
        _fit(preparation)
        result = _keep(preparation)
    return dataclasses.replace(result, path=Path(settings.output) / TRANSLATOR)


def _fit(preparation: Preparation) -> None:
    """Trains for the epochs that are left. If the run had ended, there are none."""
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
    """Writes the history and returns the outcome of the training.

    Raises:
        RuntimeError: If no epoch had a finite `monitor`, so that no translator was saved.
    """
    settings, checkpoint = preparation.settings, preparation.checkpoint
    write_json(preparation.output / HISTORY, checkpoint.history)
    if not checkpoint.best_epoch:
        raise RuntimeError(
            f"The training diverged: none of {checkpoint.epoch} epochs had a finite validation "
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
