"""README and documentation are true: code runs, commands parse, rooms and links exist."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import keras_s2s

ROOT = next(
    parent for parent in Path(__file__).resolve().parents if (parent / "Makefile").is_file()
)
README = ROOT / "README.md"
GUIDES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [
    *GUIDES,
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "recipes").glob("*/README.md")),
    ROOT / "saved_models" / "README.md",
    ROOT / "saved_models" / "english-g2p" / "README.md",
]
# The blocks of this page are one program; tests/models/test_migration.py runs it.
ONE_PROGRAM = "migrating_from_tfa.md"
COMMITTED_FOLDERS = {"tests", "docs", "benchmarks", "recipes", "saved_models"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str, page: Path = README) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def python_blocks() -> list[Any]:
    found = [
        (f"{name_of(page)}-{number}", code)
        for page in GUIDES
        if page.name != ONE_PROGRAM
        for number, code in enumerate(blocks("python", page), 1)
    ]
    # The first example has a test of its own. A block that another one begins with runs within it.
    return [
        pytest.param(code, id=name)
        for name, code in found[1:]
        if not any(other != code and other.startswith(code) for _, other in found)
    ]


def run_python(code: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("code", python_blocks())
def test_python_block_runs_as_a_user_would_run_it(code: str) -> None:
    run_python(code)


@pytest.mark.thorough
def test_first_example_is_short_and_decodes_right() -> None:
    code = blocks("python")[0]
    assert len(code.strip().splitlines()) <= 15
    check = "\nsame = decoding.predict(source).ids[:, 0, :8] == source[:, ::-1]"
    check += "\nassert same.all(-1).mean() > 0.9\n"
    run_python(code + check)


def command_lines(page: Path) -> list[list[str]]:
    text = "\n".join(blocks("bash", page)).replace("\\\n", " ")
    # Of a pipe, the last command counts.
    parts = [line.rpartition("|")[2] for line in text.splitlines()]
    words = [shlex.split(part, comments=True) for part in parts]
    return [command for command in words if command and command[0] == "keras-s2s"]


def every_command() -> list[Any]:
    return [
        pytest.param(words, id=f"{name_of(page)}-{number}-{words[1]}")
        for page in PAGES
        for number, words in enumerate(command_lines(page), 1)
    ]


@pytest.mark.parametrize("words", every_command())
def test_command_lines_name_real_commands_and_options(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_s2s.cli.main import app

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


def test_every_command_is_shown_in_a_guide_or_named_in_the_readme() -> None:
    from keras_s2s.cli.main import app

    shown = {words[1] for page in GUIDES for words in command_lines(page)}
    named = set(re.findall(r"`(\w+)`", README.read_text(encoding="utf-8")))
    assert set(get_command(app).commands) <= shown | named  # type: ignore[attr-defined]


def test_make_targets_named_in_the_readme_exist() -> None:
    text = README.read_text(encoding="utf-8")
    targets = re.findall(r"^make (\S+)", "\n".join(blocks("bash")), flags=re.MULTILINE)
    assert {"quickstart", "test"} <= set(targets)
    named = re.findall(r"`make ([\w-]+)`", text)
    assert "test-thorough" in named
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in {*targets, *named}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_readme_has_at_most_200_lines() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


def test_every_guide_opens_with_the_question_it_answers() -> None:
    for page in GUIDES[1:]:
        text = page.read_text(encoding="utf-8")
        assert re.match(r"# .+\n\n\*\*[^*]+\?\*\*", text), name_of(page)


def test_readme_and_index_of_the_documentation_list_every_guide() -> None:
    guides = {page.name for page in GUIDES[1:]} - {"README.md"}
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert guides <= set(re.findall(r"\]\(([\w-]+\.md)", index))
    read_on = README.read_text(encoding="utf-8").partition("## Where to read on")[2]
    assert guides <= set(re.findall(r"\]\(docs/([\w-]+\.md)", read_on))


# --- Rooms


def packages(folder: Path) -> set[Path]:
    return {path.parent for path in folder.rglob("__init__.py")}


def test_table_of_rooms_names_every_room_and_nothing_else() -> None:
    text = README.read_text(encoding="utf-8").partition("## Rooms")[2].partition("\n## ")[0]
    mapped = re.findall(r"^\| `([\w/]+)/` \|", text, flags=re.MULTILINE)
    rooms = {
        str(room.relative_to(ROOT))
        for package in (ROOT / "keras_s2s", ROOT / "export")
        for room in packages(package)
        if room.parent == package
    }
    assert len(mapped) == len(set(mapped))
    assert set(mapped) == rooms | COMMITTED_FOLDERS
    for folder in COMMITTED_FOLDERS:
        assert (ROOT / folder).is_dir()


def folder_map(docstring: str) -> set[str]:
    """Returns the names that a package's docstring lists, those before the colon of each entry."""
    entries = re.findall(r"^\s*- (`\w+/?`(?:(?:, | and )`\w+/?`)*):", docstring, flags=re.MULTILINE)
    return {name for entry in entries for name in re.findall(r"\w+(?=/?`)", entry)}


def every_package() -> list[Any]:
    found = {*packages(ROOT / "keras_s2s"), *packages(ROOT / "export")}
    return [pytest.param(path, id=name_of(path)) for path in sorted(found)]


@pytest.mark.parametrize("package", every_package())
def test_docstring_of_a_folder_maps_its_files_and_nothing_else(package: Path) -> None:
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folder_map(ast.get_docstring(tree) or "") == modules | rooms


def test_map_of_a_folder_reads_single_names_and_lists_of_them() -> None:
    text = (
        "What it is. `no` entry: see below.\n\n- `one`: this.\n- `two`, `three`: those of\n  it.\n"
        "- `four` and `five/`: a file and a room.\n"
    )
    assert folder_map(text) == {"one", "two", "three", "four", "five"}


# --- Names and links


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_of_the_library_in_a_page_are_public(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r"(?<![\w/.-])(?:keras_s2s|s2s)\.(\w+)", text))
    assert names - {"export"} <= set(keras_s2s.__all__)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.strip().lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=name_of)
def test_relative_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    for link in links:
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_files_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = "keras_s2s|export|tests|docs|benchmarks|saved_models"
    for path in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w/]+\.py)\b", text):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_rows_of_a_table_have_as_many_cells_as_its_head(page: Path) -> None:
    tables = re.findall(r"(?:^\|.*\|\n)+", prose(page), flags=re.MULTILINE)
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table
