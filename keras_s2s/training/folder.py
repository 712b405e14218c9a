"""The folder of a training, with the names of its files and checks before anything is written.

Nothing here imports Keras, so that the command line can refuse a folder before it waits for
TensorFlow to load.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from keras_s2s.system.files import temporary_sibling
from keras_s2s.training.settings.declaration import declared
from keras_s2s.translation.archive import TRANSLATOR

if TYPE_CHECKING:
    from keras_s2s.data.hosts import Hosts
    from keras_s2s.training.settings.settings import TrainingSettings

SETTINGS = "settings.json"
HISTORY = "history.json"
CHECKPOINT = "checkpoint"
EPOCHS = "epochs"
TOKENIZERS = "tokenizers.json"  # in the folder CHECKPOINT


def best_epoch(path: str | os.PathLike[str]) -> dict[str, float] | None:
    """Returns the values of the epoch with the lowest validation perplexity, from the history.

    If `monitor` was perplexity, the default, the saved weights are those of this epoch.

    Args:
        path: the folder of a training, or a `.keras` file in it.

    Returns:
        The values of this epoch, and its number from 1 as `epoch`, or None if the folder has no
        history or the history has no validation perplexity.
    """
    path = Path(path)
    history = (path if path.is_dir() else path.parent) / HISTORY
    if not history.is_file():
        return None
    epochs = json.loads(history.read_text(encoding="utf-8"))
    numbered = [{"epoch": number, **values} for number, values in enumerate(epochs, 1)]
    measured = [values for values in numbered if values.get("val_perplexity") is not None]
    return min(measured, key=lambda values: values["val_perplexity"], default=None)


def check_output(settings: TrainingSettings, *, resume: bool, force: bool) -> None:
    """Checks that a training may begin or go on in its output folder, and changes nothing there.

    Args:
        settings: settings of the training, with its output folder.
        resume: whether the training in the output folder is to go on.
        force: whether an earlier training there may be replaced.

    Raises:
        ValueError: If both `resume` and `force` are given, or if there is no training that these
            settings can resume.
        FileExistsError: If the output is a file, or holds a training that may not be replaced.
        OSError: If the output cannot be written to.
    """
    if resume and force:
        raise ValueError(
            "`resume` goes on with a training and `force` replaces it; got both. Give only one."
        )
    if resume:
        _check_resumable(settings)
    else:
        _check_room(Path(settings.output), force)


def make_room(output: str | os.PathLike[str], force: bool = False) -> None:
    """Makes the folder of a training, and with `force` removes an earlier training from it.

    Args:
        output: the folder.
        force: whether an earlier training may be removed.

    Raises:
        FileExistsError: If the output is a file, or holds a training and `force` is False.
        OSError: If the folder cannot be made or written to.
    """
    output = Path(output)
    _check_room(output, force)
    for name in (SETTINGS, TRANSLATOR, HISTORY):
        (output / name).unlink(missing_ok=True)
    for name in (CHECKPOINT, EPOCHS):
        shutil.rmtree(output / name, ignore_errors=True)
    remove_leftovers(output)


def remove_leftovers(output: Path) -> None:
    """Removes the half-written files that a killed process left in the folder of a training."""
    for file in (*output.glob(".tmp-*"), *(output / EPOCHS).glob(".tmp-*")):
        if file.is_file():
            file.unlink()


@contextmanager
def host_output(hosts: Hosts, output: Path, begun: str | None = None) -> Iterator[Path]:
    """Gives process 0 the output folder, and every other process a temporary folder to write to.

    All processes can therefore run the same program, and need no shared disk. All of them must call
    this function.

    Args:
        hosts: the processes that train together.
        output: the folder of process 0.
        begun: name of a folder in the output of which the other processes get a copy.
    """
    if hosts.count == 1:
        yield output
        return
    packed = hosts.from_leader(_packed(output, begun) if begun and hosts.leads else b"")
    if hosts.leads:
        yield output
        return
    with TemporaryDirectory(prefix="keras-s2s-") as temporary:
        if packed:
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                archive.extractall(temporary)
        yield Path(temporary)


def _packed(folder: Path, begun: str) -> bytes:
    """Returns the folder `begun` of another folder as a ZIP archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted((folder / begun).rglob("*")):
            archive.write(file, file.relative_to(folder))
    return packed.getvalue()


def _check_room(output: Path, force: bool) -> None:
    """Raises an error unless a new training may write to the output, which is made if missing."""
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"The output `{output}` is a file. Expected a folder to write to.")
    taken = [
        name for name in (TRANSLATOR, SETTINGS, CHECKPOINT, EPOCHS) if (output / name).exists()
    ]
    if taken and not force:
        raise FileExistsError(
            f"The output `{output}` already holds {', '.join(taken)}. Go on with that training "
            "(--resume), replace it (--force), or name another folder."
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = temporary_sibling(output / "probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"Cannot write to the output `{output}`: {error.strerror}.") from error


def _check_resumable(settings: TrainingSettings) -> None:
    """Raises ValueError unless the output holds a training that these settings go on with."""
    output = Path(settings.output)
    try:
        before = json.loads((output / SETTINGS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"There is no training to resume in `{output}`: it has no {SETTINGS}. Leave --resume "
            "out to begin a new training."
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(
            f"`{output / SETTINGS}` cannot be read ({error}). Begin anew with --force."
        ) from error
    if not (output / CHECKPOINT / TOKENIZERS).exists():
        raise ValueError(
            f"The training in `{output}` cannot be resumed: its {CHECKPOINT}/ is gone. Begin anew "
            "with --force."
        )
    declarations = declared(type(settings))
    # A setting that the record lacks came with a later version of the library. Its default is the
    # behaviour of the earlier version.
    before = {name: setting.default for name, setting in declarations.items()} | before
    differing = [
        f"`{name}` was {before[name]!r} and is {value!r}"
        for name, value in dataclasses.asdict(settings).items()
        if not declarations[name].may_change and before[name] != value
    ]
    if differing:
        raise ValueError(
            f"A resumed training needs the settings it began with; {'; '.join(differing)}. Give "
            "the earlier values again, or begin anew with --force."
        )
