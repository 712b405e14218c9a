"""Verification passes an exported folder as it was written, and reports every later change."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_s2s.export.errors import ExportError
from keras_s2s.export.parity.expectation import (
    SERVED_BY,
    SERVED_TASKS,
    read_expected,
    tasks_of,
    write_expected,
)
from keras_s2s.export.parity.record import EXPECTED
from keras_s2s.export.parity.verification import verify_export
from keras_s2s.export.runtimes.artefacts import Origin
from keras_s2s.export.runtimes.runtimes import RUNTIMES, runtimes_below
from keras_s2s.export.serving.warmup import Request, write_warmup
from support.served import Served, planned, strings

TEXTS = ["the cat", "", "a dog", "ß 猫", b"caf\xe9".decode("utf-8", "surrogateescape")]


@pytest.fixture(scope="module")
def exported(served_words: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `export_translator` leaves, with few sentences."""
    output = tmp_path_factory.mktemp("exported")
    path = "serving/cats/7"
    shutil.copytree(served_words.folder, output / path)
    tasks = tasks_of(
        planned(served_words.translator, served_words.beam), TEXTS, set(SERVED_TASKS.values())
    )
    with runtimes_below(output) as runtimes:
        artefacts = [
            runtimes.artefact(Origin(runtime, path, signature), task)
            for signature, task in SERVED_TASKS.items()
            for runtime in SERVED_BY
        ]
        write_expected(output / EXPECTED, artefacts, tasks, "2.20")
    return output


def test_what_was_exported_passes_in_every_runtime(exported: Path, served_words: Served) -> None:
    messages: list[str] = []

    report = verify_export(exported, translator=served_words.translator, progress=messages.append)

    assert report.failures() == []
    names = {comparison.artefact for comparison in report.comparisons}
    assert {f"serving/cats/7 {s} ({r})" for s in SERVED_TASKS for r in SERVED_BY} <= names
    assert "serving/cats/7: operators of TensorFlow Serving 2.20" in names
    assert "serving/cats/7: warm-up requests" in names
    assert {f"keras ({task})" for task in SERVED_TASKS.values()} <= names
    assert messages[0] == "Asking Keras again"
    for comparison in report.comparisons:
        if "(" in comparison.artefact:
            assert comparison.sentences >= 5


@pytest.mark.thorough
def test_other_outputs_and_a_failing_warm_up_are_found(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "x")
    path = tmp_path / "x" / EXPECTED
    found = json.loads(path.read_text())
    found["artefacts"] = [entry for entry in found["artefacts"] if entry["origin"][0] == "C API"]
    found["tasks"]["text"]["expected"][0] += "!"
    found["tasks"]["served beam"]["expected"][1]["scores"][0] += 0.01
    found["tasks"]["alignments"]["expected"][2]["weights"][0][0] += 0.01
    found["tasks"]["served ids"]["expected"][3][0][0][0] += 1
    path.write_text(json.dumps(found))
    write_warmup(tmp_path / "x/serving/cats/7", "cats", [Request("ids", {"text": strings([b"a"])})])

    failures = verify_export(tmp_path / "x", server="2.12").failures()

    for phrase in (
        "operators of TensorFlow Serving 2.12",
        "warm-up requests",
        "serving_default (C API) at batch 1, 1 of 5 outputs differ",
        "beam (C API) at batch 7, scores must be within 0.0001; one differs by 0.00",
        "alignments (C API) at batch 32, alignments must be within 0.0001",
        "ids (C API) at batch 1, 1 of 5 outputs differ",
    ):
        assert any(phrase in failure for failure in failures), (phrase, failures)


@pytest.mark.thorough
def test_another_model_is_found(exported: Path, tmp_path: Path, served_words: Served) -> None:
    shutil.copytree(exported, tmp_path / "x")
    path = tmp_path / "x" / EXPECTED
    found = json.loads(path.read_text())
    found["artefacts"] = []
    path.write_text(json.dumps(found))
    other = served_words.translator.copy()
    bias = other.model.decoder.output_layer.bias
    bias.assign(bias + np.arange(bias.shape[0], dtype=np.float32))

    report = verify_export(tmp_path / "x", translator=other)

    assert len(report.comparisons) == 4
    assert not any(comparison.passed for comparison in report.comparisons)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing, so there are no expected outputs to compare the export with"),
        ("{", "cannot be read"),
        ("{}", "cannot be read: KeyError"),
    ],
)
def test_a_folder_without_proof_is_one_clear_error(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / EXPECTED).write_text(content)
    with pytest.raises((FileNotFoundError, ExportError), match=message):
        verify_export(tmp_path)


def test_tasks_are_what_they_were_after_a_round_trip(exported: Path) -> None:
    written = json.loads((exported / EXPECTED).read_text())
    expected = read_expected(exported)

    assert set(expected.tasks) == set(SERVED_TASKS.values())
    assert {origin.runtime for origin, _ in expected.artefacts} == set(SERVED_BY) <= set(RUNTIMES)
    assert expected.server == "2.20"
    for name, task in expected.tasks.items():
        assert json.loads(json.dumps(task.to_json())) == written["tasks"][name]


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    with (
        runtimes_below(tmp_path) as runtimes,
        pytest.raises(ExportError, match=r"must be one of Python, C API, .*; got 'TFLite'"),
    ):
        runtimes.artefact(Origin("TFLite", "m"), "text")
