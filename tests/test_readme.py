"""The README's promises: its Python runs, its commands parse, its file map is the tree."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs_as_a_user_would_run_it(code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr


def test_first_example_is_short_and_decodes_right() -> None:
    code = blocks("python")[0]
    assert len(code.strip().splitlines()) <= 15
    check = "\nsame = decoding.predict(source).ids[:, 0, :8] == source[:, ::-1]"
    check += "\nassert same.all(-1).mean() > 0.9\n"
    run = subprocess.run(
        [sys.executable, "-c", code + check], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [command for command in words if command and command[0] == "keras-s2s"]


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[1])
def test_command_lines_name_real_commands_and_options(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_s2s.cli import app

    # Files to read must exist for the arguments to be accepted.
    monkeypatch.chdir(tmp_path)
    Path("DATA").mkdir()
    for word in words:
        if Path(word).suffix in (".en", ".de", ".tsv"):
            Path(word).touch()
    group = get_command(app)
    command = group.commands[words[1]]  # type: ignore[attr-defined]
    arguments = words[2 : words.index(">")] if ">" in words else words[2:]
    # Parsing alone: nothing is run, and files need not exist.
    context = command.make_context(words[1], list(arguments), resilient_parsing=False)
    assert context.params


def test_make_targets_named_in_the_readme_exist() -> None:
    targets = re.findall(r"^make (\S+)", "\n".join(blocks("bash")), flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"quickstart", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_file_map_names_every_module_and_nothing_else() -> None:
    mapped = set(re.findall(r"^\| `([\w/]+\.py|[\w/]+/)` \|", README, flags=re.MULTILINE))
    modules = {
        str(path.relative_to(ROOT))
        for folder in ("keras_s2s", "export")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert mapped == modules
