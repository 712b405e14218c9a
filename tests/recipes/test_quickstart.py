"""The quickstart trains, exports, verifies and plots a model of dates."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from keras_s2s.recipes import quickstart
from keras_s2s.recipes.dates import EXAMPLES

pytest.importorskip("babel")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "TRAINING_PAIRS", 60)
    monkeypatch.setattr(quickstart, "HELD_OUT_PAIRS", 20)


def pairs_in(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.thorough
@pytest.mark.usefixtures("small")
def test_too_few_right_answers_are_an_error_and_nothing_is_exported(tmp_path: Path) -> None:
    printed = io.StringIO()
    with pytest.raises(RuntimeError, match=r"Only 0\.00 % .* expected at least 99 %.*--seed"):
        quickstart.run(tmp_path, console=Console(file=printed))

    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"data", "checkpoint", "translator.keras", "settings.json", "history.json"}
    assert "exact match on 20 unseen dates: 0.00 %" in printed.getvalue()
    data = {path.stem: pairs_in(path) for path in (tmp_path / "data").iterdir()}
    assert {name: len(pairs) for name, pairs in data.items()} == {
        "train": 60,
        "validation": 20,
        "test": 20,
    }
    days = {name: {day for _, day in pairs} for name, pairs in data.items()}
    assert not days["train"] & days["test"]
    assert not days["train"] & days["validation"]

    with pytest.raises(FileExistsError, match=r"already holds translator\.keras"):
        quickstart.run(tmp_path, console=Console(file=printed))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_whole_road_at_a_small_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnx", "tf2onnx", "onnxruntime", "matplotlib"):
        pytest.importorskip(package)
    monkeypatch.setattr(quickstart, "GOAL", 0.0)

    quickstart.run(tmp_path, console=Console(file=io.StringIO()))

    for name in ("serving/dates/1/saved_model.pb", "onnx/model.onnx", "parity.json"):
        assert (tmp_path / name).exists()
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(EXAMPLES) + 1
    assert printed[-1].startswith("exact match on unseen dates: ")


@pytest.mark.slow
def test_command_reaches_99_percent_and_exports(tmp_path: Path) -> None:
    """What the README promises, at its own size: some minutes."""
    for package in ("onnx", "tf2onnx", "onnxruntime", "matplotlib"):
        pytest.importorskip(package)
    code = "import sys; from keras_s2s.cli.main import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", code, "quickstart", "--output", str(tmp_path / "dates")],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert run.returncode == 0, run.stderr
    found = re.search(r"^exact match on unseen dates: (\d+\.\d\d) %$", run.stdout, re.MULTILINE)
    assert found is not None
    assert float(found[1]) >= 99
    right = sum(f"→ {iso}\n" in run.stdout for _, iso in EXAMPLES)
    assert right >= len(EXAMPLES) - 2
    for name in ("serving/dates/1/saved_model.pb", "onnx/model.onnx", "attention.png"):
        assert (tmp_path / "dates" / name).exists()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["onnx", "serving"])
def test_an_earlier_export_is_refused_before_the_training(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(FileExistsError, match=rf"already holds {name}.*--force"):
        quickstart.run(tmp_path, console=Console(file=io.StringIO()))
    assert [path.name for path in tmp_path.iterdir()] == [name]
