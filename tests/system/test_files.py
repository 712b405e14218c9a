"""Atomic writing leaves the old content or the new one, and nothing else."""

import json
import os
import stat
from pathlib import Path

import pytest

from keras_s2s.system import files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_lines_and_json_are_written(tmp_path: Path) -> None:
    files.write_text(tmp_path / "text", "größer\n")
    files.write_lines(tmp_path / "lines", iter(["a", "", "b"]))
    files.write_json(tmp_path / "json", {"a": ["ä"]})
    files.write_json(tmp_path / "flat", {"a": ["ä"]}, indent=None, ensure_ascii=True)

    assert (tmp_path / "text").read_bytes() == "größer\n".encode()
    assert (tmp_path / "lines").read_text() == "a\n\nb\n"
    assert (tmp_path / "json").read_text(encoding="utf-8") == '{\n  "a": [\n    "ä"\n  ]\n}\n'
    assert (tmp_path / "flat").read_text() == '{"a": ["\\u00e4"]}\n'
    assert names(tmp_path) == ["flat", "json", "lines", "text"]


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "json"
    files.write_json(path, [1])
    with pytest.raises(TypeError):
        files.write_json(path, [object()])
    with pytest.raises(ValueError, match="nan"):
        files.write_json(path, [float("nan")], allow_nan=False)

    assert json.loads(path.read_text()) == [1]
    assert names(tmp_path) == ["json"]


def test_target_stays_whole_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("old")
    with files.replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".keras"
        assert temporary.name.startswith(".tmp-")
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")

    assert path.read_text() == "new"
    assert names(tmp_path) == ["model.keras"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_an_error_leaves_the_target_and_no_sibling(
    tmp_path: Path, kind: str, error: type[BaseException]
) -> None:
    path = tmp_path / "target"
    path.write_text("old")

    def fail() -> None:
        with files.replacing(path) as temporary:
            if kind == "folder":
                temporary.mkdir()
                (temporary / "inside").touch()
            elif kind == "file":
                temporary.touch()
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["target"]


def test_a_folder_appears_with_its_content(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "made") as temporary:
        temporary.mkdir()
        files.write_text(temporary / "inside", "text")
        assert not (tmp_path / "made").exists()

    assert (tmp_path / "made" / "inside").read_text() == "text"
    assert names(tmp_path) == ["made"]


def test_content_is_on_the_disk_before_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    flush, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("flush"), flush(fd)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (steps.append("rename"), replace(self, to))
    )
    files.write_text(tmp_path / "text", "text")

    assert steps == ["flush", "rename"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "ours", "text")
        (tmp_path / "plain").write_text("text")
    finally:
        os.umask(before)

    ours, plain = ((tmp_path / name).stat().st_mode for name in ("ours", "plain"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(plain) == 0o666 & ~mask
