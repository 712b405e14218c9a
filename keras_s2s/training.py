"""Training as one call: two text files in, a translator file out. What `keras-s2s train` runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from keras_s2s import folder
from keras_s2s.archive import TRANSLATOR, save_translator
from keras_s2s.checkpoints import Checkpoint, LastEpochs
from keras_s2s.construction import (
    decoded_metrics,
    load_embeddings,
    make_model,
    make_tokenizers,
    make_translator,
    samplings,
)
from keras_s2s.corpus import Corpus
from keras_s2s.decoded import DECODED_METRICS
from keras_s2s.folder import CHECKPOINT, EPOCHS, HISTORY, SETTINGS
from keras_s2s.folder import make_room as make_room
from keras_s2s.hosts import Hosts
from keras_s2s.moving_average import EvaluateMovingAverage
from keras_s2s.progress import ProgressBar, format_value
from keras_s2s.ranges import FILES
from keras_s2s.retraces import RetraceWarning
from keras_s2s.settings import TrainingSettings
from keras_s2s.text import Tokenizer


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
        FileExistsError: the output is a file, or holds a training, and neither `resume` nor `force`
            was given.
        ValueError: settings, text files or a state that cannot be used; the message says which.
            Hosts whose settings or files differ, or that should decode.
        RuntimeError: the training diverged before it brought anything.
    """
    hosts = hosts or Hosts()
    if hosts.leads:
        folder.check_output(settings, resume=resume, force=force)
    else:
        console = Console(quiet=True)
    _check_hosts(settings, hosts, resume)
    begun = CHECKPOINT if resume else None
    with folder.host_output(hosts, Path(settings.output), begun) as output:
        result = _train(settings, hosts, output, resume, force, console or Console(stderr=True))
    return dataclasses.replace(result, path=Path(settings.output) / TRANSLATOR)


def _train(
    settings: TrainingSettings,
    hosts: Hosts,
    output: Path,
    resume: bool,
    force: bool,
    console: Console,
) -> TrainingResult:
    """As `train`. Whatever a process does here, all of them do, each in an output of its own."""
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if hosts.devices > 1:
        say(f"hosts: {hosts.count}, with {hosts.devices} devices")
    tokenizers = _saved_tokenizers(output) if resume else make_tokenizers(settings)
    hosts.check_alike("tokenizers", _as_json(tokenizers).encode())
    for side, tokenizer in zip(("source", "target"), tokenizers, strict=True):
        tokenized = getattr(settings, f"{side}_tokenizer")
        say(f"{side} vocabulary: {tokenizer.vocabulary_size:,} ids ({tokenized})")
    training, validation = _corpora(settings, tokenizers, say)
    batching: dict[str, Any] = {
        name: getattr(settings, name) for name in ("batch_size", "batch_tokens", "length_multiple")
    }
    # XLA compiles for each shape of a batch: give it few.
    rounds = hosts.devices > 1 or settings.length_multiple is None
    shares = hosts if keras.backend.backend() == "jax" and rounds else None
    plan = training.plan(**batching, shuffle_seed=settings.seed)
    shapes, padding = training.count_shapes(**batching, shuffle_seed=settings.seed)
    of_shapes = f" of {shapes:,} shapes" if settings.length_multiple else ""
    say(f"batches: {len(plan):,} in an epoch{of_shapes}; {padding:.1%} of their ids are padding")

    kind = DECODED_METRICS.get(settings.monitor)
    plateau = settings.learning_rate_schedule == "plateau"
    checkpoint = Checkpoint(
        output / CHECKPOINT,
        # `translator` is assigned below, from the model that is trained.
        lambda: save_translator(translator, output / TRANSLATOR),
        monitor=f"val_{settings.monitor}",
        higher_is_better=kind is not None and kind.higher_is_better,
        patience=settings.patience,
        decay=settings.learning_rate_decay if plateau else 1.0,
        decay_patience=settings.decay_patience,
    )
    model = checkpoint.restore() if resume else None
    if model is not None:
        best = format_value(settings.monitor, checkpoint.best)
        say(f"going on after epoch {checkpoint.epoch}, best {settings.monitor} {best}")
    else:
        if resume:
            say("no epoch was finished; starting with the first")
        keras.utils.set_random_seed(settings.seed)
        model = make_model(settings, *tokenizers)
        load_embeddings(settings, model, *tokenizers, say)
    say(f"model: {model.count_params():,} parameters")
    translator = make_translator(settings, model, *tokenizers)

    if resume:
        folder.remove_leftovers(output)
    else:
        make_room(output, force)
    folder.write_json(output / SETTINGS, dataclasses.asdict(settings))
    (output / CHECKPOINT).mkdir(exist_ok=True)
    folder.write_text(output / CHECKPOINT / folder.TOKENIZERS, _as_json(tokenizers))

    if checkpoint.epoch < settings.epochs and not checkpoint.finished:
        bar = ProgressBar(settings.epochs, console)
        decoded = decoded_metrics(settings, translator, say)
        kept = LastEpochs(
            output / EPOCHS,
            lambda path: save_translator(translator, path),
            settings.keep_checkpoints,
            monitor=checkpoint.monitor,
        )
        try:
            model.fit(
                training.dataset(
                    **batching,
                    shuffle_seed=settings.seed,
                    first_epoch=checkpoint.epoch,
                    hosts=shares,
                ),
                validation_data=validation.dataset(**batching, shuffle_seed=None, hosts=shares),
                initial_epoch=checkpoint.epoch,
                epochs=settings.epochs,
                verbose=0,
                shuffle=False,  # the corpus shuffles
                callbacks=[
                    *(EvaluateMovingAverage(), *decoded, kept, checkpoint, bar),
                    RetraceWarning(say=say),
                ],
            )
        finally:
            bar.close()
        for metric in decoded:
            say(f"{metric.name}: {metric.signature}")
    else:
        say("nothing left to train: the run had ended")
    folder.write_json(output / HISTORY, checkpoint.history)
    if not checkpoint.best_epoch:
        raise RuntimeError(
            f"The training diverged: none of {checkpoint.epoch} epochs brought a finite validation "
            f"{settings.monitor}, so there is no {TRANSLATOR}. Lower `learning_rate` (it was "
            f"{settings.learning_rate}) or `clip_norm` ({settings.clip_norm})."
        )
    if math.isnan(checkpoint.history[-1][checkpoint.monitor]):
        say(f"diverged in epoch {checkpoint.epoch}; epoch {checkpoint.best_epoch} is kept")
    return TrainingResult(
        output / TRANSLATOR,
        checkpoint.best_epoch,
        checkpoint.best,
        checkpoint.epoch,
        model.count_params(),
        checkpoint.history,
    )


def _check_hosts(settings: TrainingSettings, hosts: Hosts, resume: bool) -> None:
    """Raises ValueError unless these hosts can train together, and are about to do the same."""
    if hosts.devices > 1 and settings.monitor in DECODED_METRICS:
        raise ValueError(
            "Several hosts or devices train, they do not decode: `monitor` must be perplexity; got "
            f"{settings.monitor}."
        )
    # What they may call by other names: files of the same content, and where process 0 writes.
    names = (*FILES, "output", "ids_on_disk")
    same = {name: v for name, v in dataclasses.asdict(settings).items() if name not in names}
    hosts.check_alike("settings", json.dumps([same, resume]).encode())
    if hosts.count > 1:
        for name in FILES:
            path = getattr(settings, name)
            hosts.check_alike(f"`{name}`", b"" if path is None else _digest(path))


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _as_json(tokenizers: tuple[Tokenizer, Tokenizer]) -> str:
    return json.dumps([keras.saving.serialize_keras_object(each) for each in tokenizers])


def _saved_tokenizers(output: Path) -> tuple[Tokenizer, Tokenizer]:
    saved = json.loads((output / CHECKPOINT / folder.TOKENIZERS).read_text(encoding="utf-8"))
    source, target = (keras.saving.deserialize_keras_object(config) for config in saved)
    return source, target


def _corpora(
    settings: TrainingSettings, tokenizers: tuple[Tokenizer, Tokenizer], say: Callable[[str], None]
) -> list[Corpus]:
    of_training: dict[str, Any] = {**samplings(settings), "on_disk": settings.ids_on_disk}
    corpora = []
    for name, read in (("training", settings.pairs), ("validation", settings.validation_pairs)):
        corpus = Corpus(
            read(),
            *tokenizers,
            max_source_length=settings.max_source_length,
            max_target_length=settings.max_target_length,
            **(of_training if name == "training" else {}),
        )
        say(f"{name}: {corpus.report}")
        corpora.append(corpus)
    return corpora
