"""Prepares a training: its text, tokenizers, model and checkpoint, and its output folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from keras_s2s.data.corpus import Corpus
from keras_s2s.data.hosts import Hosts
from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.system.files import write_json, write_text
from keras_s2s.text import Tokenizer
from keras_s2s.training import folder
from keras_s2s.training.checkpoints import Checkpoint
from keras_s2s.training.construction import (
    load_embeddings,
    make_model,
    make_tokenizers,
    make_translator,
    samplings,
)
from keras_s2s.training.folder import CHECKPOINT, SETTINGS, TOKENIZERS
from keras_s2s.training.settings.settings import FILES, TrainingSettings
from keras_s2s.translation.archive import TRANSLATOR, save_translator
from keras_s2s.translation.translator import Translator


@dataclass(frozen=True)
class Preparation:
    """Everything that a training needs before its next epoch.

    Attributes:
        settings: everything that decides the result.
        output: folder that this process writes to.
        training: pairs to learn from.
        validation: pairs on which each epoch is measured.
        batching: sizes of batches, as arguments of `Corpus.dataset`.
        shares: processes that divide each batch or round its sizes up; None for whole batches.
        model: compiled model as it is after `checkpoint.epoch` epochs.
        translator: the model with its tokenizers and search, as it will be saved.
        checkpoint: callback that saves the best epoch and the state of the run.
        console: console that shows the progress of an epoch.
        say: function that prints a line on the console.
    """

    settings: TrainingSettings
    output: Path
    training: Corpus
    validation: Corpus
    batching: dict[str, Any]
    shares: Hosts | None
    model: keras.Model
    translator: Translator
    checkpoint: Checkpoint
    console: Console
    say: Callable[[str], None]


def prepare(
    settings: TrainingSettings,
    hosts: Hosts,
    output: Path,
    *,
    resume: bool,
    force: bool,
    console: Console,
) -> Preparation:
    """Reads the text, makes the model or restores it, and only then changes the output.

    Args:
        settings: everything that decides the result.
        hosts: processes that train together.
        output: folder that this process writes to.
        resume: whether to go on with the training in the output.
        force: whether to replace an earlier training in the output.
        console: console on which progress is printed.

    Returns:
        A `Preparation`. The output then holds the files that a resumed run needs before its first
        epoch.

    Raises:
        ValueError: If text files or a saved state cannot be used, or if hosts have different
            tokenizers.
    """
    say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
    if hosts.devices > 1:
        say(f"hosts: {hosts.count}, with {hosts.devices} devices")
    tokenizers = _tokenizers(settings, hosts, output if resume else None, say)
    training, validation = _corpora(settings, tokenizers, say)
    batching = {
        name: getattr(settings, name) for name in ("batch_size", "batch_tokens", "length_multiple")
    }
    _describe_batches(settings, training, batching, say)

    checkpoint = _checkpoint(
        settings,
        output,
        # `translator` is assigned below, around the model that the checkpoint may restore.
        lambda: save_translator(translator, output / TRANSLATOR),
    )
    model = _restored_model(settings, checkpoint, say) if resume else None
    if model is None:
        model = _new_model(settings, tokenizers, say)
    say(f"model: {model.count_params():,} parameters")
    translator = make_translator(settings, model, *tokenizers)

    if resume:
        folder.remove_leftovers(output)
    else:
        folder.make_room(output, force)
    _write_beginning(settings, output, tokenizers)
    return Preparation(
        settings=settings,
        output=output,
        training=training,
        validation=validation,
        batching=batching,
        shares=_shares(settings, hosts),
        model=model,
        translator=translator,
        checkpoint=checkpoint,
        console=console,
        say=say,
    )


def _tokenizers(
    settings: TrainingSettings, hosts: Hosts, resumed: Path | None, say: Callable[[str], None]
) -> tuple[Tokenizer, Tokenizer]:
    """Takes the tokenizers from the output of a resumed run, or makes them for a new one."""
    if resumed is None:
        source, target = make_tokenizers(settings)
    else:
        saved = (resumed / CHECKPOINT / TOKENIZERS).read_text(encoding="utf-8")
        source, target = map(keras.saving.deserialize_keras_object, json.loads(saved))
    hosts.check_alike("tokenizers", _as_json((source, target)).encode())
    for side, tokenizer in (("source", source), ("target", target)):
        kind = getattr(settings, f"{side}_tokenizer")
        say(f"{side} vocabulary: {tokenizer.vocabulary_size:,} ids ({kind})")
    return source, target


def _as_json(tokenizers: tuple[Tokenizer, Tokenizer]) -> str:
    return json.dumps(list(map(keras.saving.serialize_keras_object, tokenizers)))


def _corpora(
    settings: TrainingSettings, tokenizers: tuple[Tokenizer, Tokenizer], say: Callable[[str], None]
) -> list[Corpus]:
    """Reads the two corpora. Only the training corpus may be sampled or on disk."""
    training_options: dict[str, Any] = {**samplings(settings), "on_disk": settings.ids_on_disk}
    corpora = []
    for name, read in (("training", settings.pairs), ("validation", settings.validation_pairs)):
        corpus = Corpus(
            read(),
            *tokenizers,
            max_source_length=settings.max_source_length,
            max_target_length=settings.max_target_length,
            **(training_options if name == "training" else {}),
        )
        say(f"{name}: {corpus.report}")
        corpora.append(corpus)
    return corpora


def _shares(settings: TrainingSettings, hosts: Hosts) -> Hosts | None:
    """Returns the processes that divide each batch or round its sizes up, or None for neither."""
    # XLA compiles for each shape of a batch, so it should get batches of few shapes.
    rounds_up = hosts.devices > 1 or settings.length_multiple is None
    return hosts if keras.backend.backend() == "jax" and rounds_up else None


def _describe_batches(
    settings: TrainingSettings,
    training: Corpus,
    batching: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    """Prints the number of batches in an epoch, of their shapes, and their share of padding."""
    plan = training.plan(**batching, shuffle_seed=settings.seed)
    shapes, padding = training.count_shapes(**batching, shuffle_seed=settings.seed)
    of_shapes = f" of {shapes:,} shapes" if settings.length_multiple else ""
    say(f"batches: {len(plan):,} in an epoch{of_shapes}; {padding:.1%} of their ids are padding")


def _checkpoint(
    settings: TrainingSettings, output: Path, save_best: Callable[[], None]
) -> Checkpoint:
    """Makes the callback that saves the state of a run and, with `save_best`, its best epoch."""
    metric = METRICS[settings.monitor]
    plateau = settings.learning_rate_schedule == "plateau"
    return Checkpoint(
        output / CHECKPOINT,
        save_best,
        monitor=f"val_{metric.name}",
        higher_is_better=metric.higher_is_better,
        patience=settings.patience,
        decay=settings.learning_rate_decay if plateau else 1.0,
        decay_patience=settings.decay_patience,
    )


def _restored_model(
    settings: TrainingSettings, checkpoint: Checkpoint, say: Callable[[str], None]
) -> keras.Model | None:
    """Restores the model of the last finished epoch, or returns None if there is none."""
    model = checkpoint.restore()
    if model is None:
        say("no epoch was finished; starting with the first")
    else:
        best = METRICS[settings.monitor].text(checkpoint.best)
        say(f"going on after epoch {checkpoint.epoch}, best {settings.monitor} {best}")
    return model


def _new_model(
    settings: TrainingSettings,
    tokenizers: tuple[Tokenizer, Tokenizer],
    say: Callable[[str], None],
) -> Seq2Seq:
    """Makes the model of a new run, with pretrained embeddings if the settings name files."""
    keras.utils.set_random_seed(settings.seed)
    model = make_model(settings, *tokenizers)
    load_embeddings(settings, model, *tokenizers, say)
    return model


def _write_beginning(
    settings: TrainingSettings, output: Path, tokenizers: tuple[Tokenizer, Tokenizer]
) -> None:
    """Writes the settings and tokenizers, which a resumed run needs besides its last epoch."""
    write_json(output / SETTINGS, dataclasses.asdict(settings))
    (output / CHECKPOINT).mkdir(exist_ok=True)
    write_text(output / CHECKPOINT / TOKENIZERS, _as_json(tokenizers))


def check_hosts(settings: TrainingSettings, hosts: Hosts, resume: bool) -> None:
    """Raises ValueError unless these hosts can train together, on the same settings and files."""
    if hosts.devices > 1 and METRICS[settings.monitor].needs_outputs:
        raise ValueError(
            "Several hosts or devices train together but do not decode, so `monitor` must be "
            f"perplexity; got {settings.monitor}."
        )
    # Hosts may have the same files under other names, and each has its own output and memory.
    per_host = (*FILES, "output", "ids_on_disk")
    shared = {name: v for name, v in dataclasses.asdict(settings).items() if name not in per_host}
    hosts.check_alike("settings", json.dumps([shared, resume]).encode())
    if hosts.count > 1:
        for name in FILES:
            path = getattr(settings, name)
            hosts.check_alike(f"`{name}`", b"" if path is None else _digest(path))


def _digest(path: str) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
