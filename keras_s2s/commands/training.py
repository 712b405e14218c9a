"""The commands that make a model: `train`, `average`, `quickstart`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_s2s import options
from keras_s2s.archive import find_translator
from keras_s2s.folder import SETTINGS, check_output, temporary_sibling
from keras_s2s.options import ArgumentError
from keras_s2s.settings import TrainingSettings
from keras_s2s.terminal import console, quiet_start, say


def train(
    output: options.Output,
    source: options.Source = None,
    target: options.Target = None,
    data: options.Data = None,
    val_source: options.ValSource = None,
    val_target: options.ValTarget = None,
    val_data: options.ValData = None,
    tokenizer: options.BothTokenizers = "unigram",
    source_tokenizer: options.SourceTokenizer = None,
    target_tokenizer: options.TargetTokenizer = None,
    vocabulary_size: options.BothSizes = None,
    source_vocabulary_size: options.SourceSize = None,
    target_vocabulary_size: options.TargetSize = None,
    shared_vocabulary: options.SharedVocabulary = False,
    tokenizers_from: options.TokenizersFrom = None,
    subword_sampling: options.SubwordSampling = None,
    ids_on_disk: options.IdsOnDisk = False,
    max_source_length: options.MaxSourceLength = 100,
    max_target_length: options.MaxTargetLength = 100,
    embedding_size: options.EmbeddingSize = 256,
    units: options.Units = 512,
    depth: options.Depth = 1,
    cell: options.Cell = "gru",
    attention: options.Attention = "general",
    probability: options.Probability = "softmax",
    input_feeding: options.InputFeeding = False,
    bidirectional: options.Bidirectional = True,
    reverse_source: options.ReverseSource = False,
    residual: options.Residual = False,
    layer_norm: options.LayerNorm = False,
    shared_embedding: options.SharedEmbedding = False,
    tied_embedding: options.TiedEmbedding = False,
    source_embeddings: options.SourceEmbeddings = None,
    target_embeddings: options.TargetEmbeddings = None,
    beam: options.SavedBeam = 5,
    length_penalty: options.SavedPenalty = 1.0,
    dropout: options.Dropout = 0.3,
    recurrent_dropout: options.RecurrentDropout = 0.0,
    embedding_dropout: options.EmbeddingDropout = 0.0,
    word_dropout: options.WordDropout = 0.0,
    target_word_dropout: options.TargetWordDropout = None,
    batch_size: options.SentencesPerBatch = None,
    batch_tokens: options.BatchTokens = None,
    length_multiple: options.LengthMultiple = None,
    epochs: options.Epochs = 30,
    patience: options.Patience = 5,
    monitor: options.Monitor = "perplexity",
    monitor_sentences: options.MonitorSentences = 500,
    monitor_beam: options.MonitorBeam = 1,
    monitor_tokenize: options.MonitorTokenize = "13a",
    keep_checkpoints: options.KeepCheckpoints = 0,
    precision: options.Precision = "float32",
    label_smoothing: options.LabelSmoothing = 0.0,
    r_drop: options.RDrop = 0.0,
    sampled_softmax: options.SampledSoftmax = 0,
    learning_rate: options.LearningRate = 1e-3,
    learning_rate_schedule: options.LearningRateSchedule = "plateau",
    learning_rate_decay: options.LearningRateDecay = 0.5,
    decay_patience: options.DecayPatience = 1,
    decay_steps: options.DecaySteps = None,
    warmup_steps: options.WarmupSteps = 0,
    weight_decay: options.WeightDecay = 0.0,
    moving_average: options.MovingAverage = 0.0,
    clip_norm: options.ClipNorm = 1.0,
    seed: options.Seed = 1,
    hosts: options.Hosts = None,
    host: options.Host = None,
    resume: options.Resume = False,
    force: options.Force = False,
) -> None:
    """Train a translator on two text files or one TSV."""
    given: dict[str, Any] = dict(locals())
    for name in ("resume", "force", "tokenizer", "vocabulary_size", "hosts", "host"):
        del given[name]
    for name, both in (("tokenizer", tokenizer), ("vocabulary_size", vocabulary_size)):
        for option in (f"source_{name}", f"target_{name}"):
            given[option] = both if given[option] is None else given[option]
    try:
        settings = TrainingSettings(**given)
    except ValueError as error:
        raise ArgumentError(_as_options(str(error))) from error
    addresses = _addresses(hosts, host)
    if not host:
        check_output(settings, resume=resume, force=force)

    with quiet_start():
        from keras_s2s import training
        from keras_s2s.joining import join_hosts
        from keras_s2s.progress import format_value
    joined = None if host is None else join_hosts(addresses, host)
    try:
        result = training.train(settings, resume=resume, force=force, hosts=joined, console=console)
    except KeyboardInterrupt:
        begun = (output / SETTINGS).exists()
        way_on = "; the same command with --resume goes on after the last finished epoch"
        say(f"interrupted{way_on if begun else ' before the training began'}")
        raise typer.Exit(130) from None
    if host:
        return
    print(
        f"{result.path}: best epoch {result.best_epoch} of {result.epochs}, "
        f"validation {monitor} {format_value(monitor, result.best)}"
    )


def _addresses(hosts: str | None, host: int | None) -> list[str]:
    """The addresses of the hosts, none for one process alone."""
    if hosts is None and host is None:
        return []
    if hosts is None or host is None:
        raise ArgumentError(
            "--hosts, all addresses, and --host, which of them this is, go together"
        )
    from keras_s2s.joining import check_addresses

    try:
        check_addresses(hosts.split(","), host)
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    return hosts.split(",")


def _as_options(message: str) -> str:
    """Names of settings as the names of their options."""
    fields = {field.name for field in dataclasses.fields(TrainingSettings)}
    return re.sub(
        r"`(\w+)`",
        lambda name: f"--{name[1].replace('_', '-')}" if name[1] in fields else name[0],
        message,
    )


def average(
    models: options.Models,
    output: options.KerasFile,
    weight: options.Weights = None,
    force: options.ForceFile = False,
) -> None:
    """Average the weights of several models of one design, such as the last epochs of a training.

    train --keep-checkpoints N leaves such models in epochs/.
    """
    _check_file(output, force)
    if weight and len(weight) != len(models):
        raise ArgumentError(
            f"--weight must be given once for each model; got {len(weight)} for {len(models)}."
        )
    for model in models:
        find_translator(model)
    with quiet_start():
        from keras_s2s.combination import average_translators
    translator = average_translators(models, weight or None)
    temporary = temporary_sibling(output)
    translator.save(temporary)
    temporary.replace(output)
    print(f"{output}: the mean of {len(models)} models")


def compress(
    model: options.Model,
    output: options.KerasFile,
    force: options.ForceFile = False,
) -> None:
    """Store a model in about a quarter of the space: its weight matrices in 8 bits.

    The other commands take the file as any model; they compute in float32.
    """
    _check_file(output, force)
    file = find_translator(model)
    before = file.stat().st_size  # `output` may replace it
    from keras_s2s.storage import write_compact

    write_compact(file, output)
    after = output.stat().st_size
    print(f"{output}: {before / 1e6:.1f} MB → {after / 1e6:.1f} MB")


def _check_file(output: Path, force: bool) -> None:
    if output.suffix != ".keras" or not output.parent.is_dir():
        raise ArgumentError(
            f"--output must be a .keras file in a folder that exists; got {output}."
        )
    if output.exists() and not force:
        raise FileExistsError(f"`{output}` exists. Replace it (--force), or name another file.")


def quickstart(
    output: Annotated[Path, typer.Option(help="Folder that receives everything.")] = Path(
        "saved_models/dates"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of the dates and the training.")] = 1,
    force: options.Force = False,
) -> None:
    """The whole road with no data at hand: dates to ISO dates, trained, exported, verified."""
    with quiet_start():
        from keras_s2s import quickstart, training  # noqa: F401 - Keras, with its notices
    try:
        quickstart.run(output, seed=seed, force=force, console=console)
    except KeyboardInterrupt:
        say("interrupted; the same command with --force begins anew")
        raise typer.Exit(130) from None
