"""The commands that make a model: `train`, `average`, `compress` and `quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_s2s.cli import options
from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.terminal import console, quiet_start, say
from keras_s2s.cli.training_options import ForceTraining, Host, Hosts, Resume, with_settings
from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.system.files import replacing
from keras_s2s.training.folder import SETTINGS, check_output
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.archive import find_translator


@with_settings
def train(
    settings: TrainingSettings,
    hosts: Hosts = None,
    host: Host = None,
    resume: Resume = False,
    force: ForceTraining = False,
) -> None:
    """Train a translator on two text files, or on one file of tab-separated pairs."""
    addresses = _addresses(hosts, host)
    if not host:
        check_output(settings, resume=resume, force=force)

    with quiet_start():
        from keras_s2s.training import run as training
        from keras_s2s.training.joining import join_hosts
    joined = None if host is None else join_hosts(addresses, host)
    try:
        result = training.train(settings, resume=resume, force=force, hosts=joined, console=console)
    except KeyboardInterrupt:
        begun = (Path(settings.output) / SETTINGS).exists()
        next_step = "; the same command with --resume goes on after the last finished epoch"
        say(f"interrupted{next_step if begun else ' before the training began'}")
        raise typer.Exit(130) from None
    if host:
        return
    print(
        f"{result.path}: best epoch {result.best_epoch} of {result.epochs}, "
        f"validation {settings.monitor} {METRICS[settings.monitor].text(result.best)}"
    )


def _addresses(hosts: str | None, host: int | None) -> list[str]:
    """Returns the addresses of all hosts, or an empty list if one process trains alone."""
    if hosts is None and host is None:
        return []
    if hosts is None or host is None:
        raise ArgumentError(
            "--hosts, the addresses of all hosts, and --host, the position of this host, must be "
            "given together"
        )
    from keras_s2s.training.joining import check_addresses

    try:
        check_addresses(hosts.split(","), host)
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    return hosts.split(",")


def average(
    models: options.Models,
    output: options.KerasFile,
    weight: options.Weights = None,
    force: options.ForceFile = False,
) -> None:
    """Write a model with the mean of the weights of several models of one design.

    Use it for the last epochs of one training, which train --keep-checkpoints N keeps in epochs/.
    """
    _check_file(output, force)
    if weight and len(weight) != len(models):
        raise ArgumentError(
            f"--weight must be given once for each model; got {len(weight)} for {len(models)}."
        )
    for model in models:
        find_translator(model)
    with quiet_start():
        from keras_s2s.translation.combination import average_translators
    translator = average_translators(models, weight or None)
    with replacing(output) as temporary:
        translator.save(temporary)
    print(f"{output}: the mean of {len(models)} models")


def compress(
    model: options.Model,
    output: options.KerasFile,
    force: options.ForceFile = False,
) -> None:
    """Store a model in about a quarter of the space, with its weight matrices in 8 bits.

    The other commands read the file like any model, and compute in float32.
    """
    _check_file(output, force)
    file = find_translator(model)
    before = file.stat().st_size  # `output` may replace it
    from keras_s2s.translation.compact import write_compact

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
    output: Annotated[Path, typer.Option(help="Folder that receives all files.")] = Path(
        "saved_models/dates"
    ),
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the generated dates and of the training.")
    ] = 1,
    force: options.Force = False,
) -> None:
    """Train, export and verify a small model that turns written dates into ISO dates.

    The quickstart makes its own data and takes a few minutes.
    """
    with quiet_start():
        from keras_s2s.recipes import quickstart
        from keras_s2s.training import run as training  # noqa: F401 - Keras, with its notices
    try:
        quickstart.run(output, seed=seed, force=force, console=console)
    except KeyboardInterrupt:
        say("interrupted; the same command with --force begins anew")
        raise typer.Exit(130) from None
