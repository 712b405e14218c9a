"""Temporary folders and their renames leave whole folders or none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_s2s.export.publication.staging import publish, staging


def filled(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(text)
    return folder


def test_temporary_folder_is_hidden_and_goes(tmp_path: Path) -> None:
    with staging(tmp_path / "out") as temporary:
        (temporary / "file").touch()
        assert [path.name for path in (tmp_path / "out").iterdir()] == [temporary.name]
        assert temporary.name.startswith(".")
        assert not temporary.name.lstrip(".").isdecimal()

    assert list((tmp_path / "out").iterdir()) == []


def test_temporary_folder_goes_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), staging(tmp_path):
        raise KeyError

    assert list(tmp_path.iterdir()) == []


def test_publish_moves_and_replaces(tmp_path: Path) -> None:
    place = tmp_path / "serving" / "name" / "1"
    with staging(tmp_path) as temporary:
        publish(filled(temporary / "new", "first"), place, temporary)
    assert (place / "file").read_text() == "first"

    with staging(tmp_path) as temporary:
        publish(filled(temporary / "new", "second"), place, temporary)
    assert (place / "file").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["serving"]


def test_folders_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from keras_s2s.export.publication.staging import staging\n"
        "with staging(Path(sys.argv[1])) as temporary:\n"
        "    print(temporary.name, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    dead = killed.stdout.strip()
    elsewhere = f".tmp-another-machine-{os.getpid()}-x"
    (tmp_path / elsewhere).mkdir()
    assert killed.returncode == -9
    assert (tmp_path / dead).is_dir()

    with staging(tmp_path) as living, staging(tmp_path) as second:
        names = {path.name for path in tmp_path.iterdir()}

    assert names == {living.name, second.name, elsewhere}
