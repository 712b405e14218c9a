"""Tests of the export as one call: what it publishes, what it refuses, and all or nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import onnx
import pytest

import keras_s2s.export
from keras_s2s.export import ExportReport, ParityError, export_translator
from keras_s2s.export.guide.readme import MARK
from keras_s2s.export.onnx import packages
from keras_s2s.export.parity.report import Comparison, ParityReport
from keras_s2s.export.publication import export as publication
from keras_s2s.export.runtimes.artefacts import onnx_run
from keras_s2s.export.runtimes.runtimes import Runtimes
from keras_s2s.export.saved_model.files import LoadedModel
from keras_s2s.export.specs.arrays import as_valid
from keras_s2s.export.specs.plan import ExportPlan, OnnxPlan
from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.minimum_bayes_risk import MinimumBayesRisk
from keras_s2s.translation.translator import Translator
from keras_s2s.translation.unknowns import UnknownReplacement
from support.served import Exported
from support.translators import texts, tiny_translator

ROOT = Path(__file__).resolve().parents[3]
ONNX_FILES = [
    "decoder_step.onnx",
    "encoder.onnx",
    "greedy.ids.onnx",
    "model.ids.onnx",
    "model.onnx",
]


def visible(folder: Path) -> list[str]:
    """Every file and folder, but for what a SavedModel holds."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in found if len(name.split("/")) < 4)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Exports that write a line instead of models; `passed` is what the parity run finds."""
    answer = {"passed": True}

    def version(plan: ExportPlan, folder: Path) -> None:
        folder.mkdir()
        (folder / "saved_model.pb").write_text(str(time.monotonic_ns()))

    def onnx_models(
        translator: Translator, plan: OnnxPlan, temporary: Path, *_: Any, **__: Any
    ) -> list[Any]:
        folder = temporary / "onnx"
        folder.mkdir()
        (folder / "model.onnx").write_text(str(time.monotonic_ns()))
        return []

    def readme(plan: ExportPlan, runtimes: Runtimes, *_: Any) -> None:
        (runtimes.folder / "README.md").write_text(MARK)

    def parity(*_: Any) -> tuple[ParityReport, dict[str, Any]]:
        comparison = Comparison("it", 1, sentences=1, equal=int(answer["passed"]))
        return ParityReport({"count": 1, "given": 0}, [comparison], {}, 0.0), {}

    monkeypatch.setattr(publication, "write_version", version)
    monkeypatch.setattr(publication, "replay_warmup", lambda *_: 0)
    monkeypatch.setattr(Runtimes, "session", lambda *_: None)
    monkeypatch.setattr(publication, "SERVED_TASKS", {})
    monkeypatch.setattr(publication, "write_readme", readme)
    monkeypatch.setattr(publication, "_write_onnx", onnx_models)
    monkeypatch.setattr(publication, "run_parity", parity)
    return answer


@pytest.fixture(scope="module")
def translator() -> Translator:
    return tiny_translator("char", "word", search=BeamSearch(2, max_length=6))


@pytest.fixture
def exported(exported_cats: Exported) -> tuple[ExportReport, list[str]]:
    return exported_cats.report, exported_cats.messages


@pytest.mark.thorough
def test_everything_is_published_and_nothing_else(
    exported: tuple[ExportReport, list[str]],
) -> None:
    report, _ = exported
    output = report.report.parent

    assert visible(output) == [
        "README.md",
        "onnx",
        *(f"onnx/{name}" for name in ONNX_FILES),
        *("parity.expected.json", "parity.json", "parity.md"),
        *("serving", "serving/cats", "serving/cats/1"),
        *("serving/models.config", "serving/monitoring.config"),
        *("triton", "triton/cats", "triton/cats/1", "triton/cats/config.pbtxt"),
    ]
    assert report.saved_model == output / "serving" / "cats" / "1"
    assert report.onnx == output / "onnx"
    assert not list(output.glob(".*"))


def test_published_files_translate(exported_cats: Exported) -> None:
    translator, report = exported_cats.translator, exported_cats.report
    assert report.saved_model is not None
    assert report.onnx is not None
    given = texts(5, seed=9)

    batch = {"text": as_valid(given)}
    served = LoadedModel(report.saved_model).signature()(batch)["translation"]
    (run,) = onnx_run(report.onnx / "model.onnx")([batch])

    assert [text.decode() for text in served] == translator(given)
    assert run["translation"].tolist() == translator(given)


def test_report_tells_every_comparison(exported: tuple[ExportReport, list[str]]) -> None:
    report, messages = exported
    found = json.loads(report.report.read_text(encoding="utf-8"))
    compared = {(entry["artefact"], entry["batch_size"]) for entry in found["comparisons"]}
    sizes = {
        **dict.fromkeys(("Python", "C API"), (1, 7, 32, None)),
        "merged requests": (7, 32, None),
        **dict.fromkeys(("REST rows", "REST columns"), (32, None)),
    }
    served = {
        (f"serving/cats/1 {signature} ({runtime})", size)
        for signature in ("serving_default", "beam", "ids", "alignments")
        for runtime, chosen in sizes.items()
        for size in chosen
    }
    names = [f"onnx/{name}" for name in ONNX_FILES[2:]]
    names.append("onnx/encoder.onnx and decoder_step.onnx")

    assert found["passed"] is True
    assert compared == {("keras", 1), ("keras", 7)} | served | {
        (name, size) for name in names for size in (1, 7, 32, None)
    }
    for entry in found["comparisons"]:
        assert entry["equal"] == entry["sentences"]
        assert entry["sentences"] >= (9 if entry["batch_size"] is None else 100)
    assert found["sentences"] == {"count": found["comparisons"][0]["sentences"], "given": 30}
    assert found["settings"]["search"]["kind"] == "BeamSearch"
    assert found["versions"]["onnxruntime"]
    assert found["machine"]["cores"]
    assert messages[0] == "Writing the SavedModel"
    for line in ("SavedModel", "ONNX", "Parity      passed on"):
        assert line in str(report)


def test_ids_models_carry_the_translators_own_search_and_a_greedy_one(
    exported: tuple[ExportReport, list[str]],
) -> None:
    assert exported[0].onnx is not None
    found = {}
    for name in ONNX_FILES:
        model = onnx.load(exported[0].onnx / name)
        (search,) = (entry.value for entry in model.metadata_props if entry.key == "search")
        found[name] = json.loads(search)

    settings = json.loads(json.dumps(GreedySearch(6).get_config()))  # tuples as JSON has them
    assert found["greedy.ids.onnx"] == {"kind": "GreedySearch", **settings}
    assert found["model.ids.onnx"] == found["model.onnx"]
    assert found["model.ids.onnx"]["width"] == 2


@pytest.mark.slow
def test_sentencepiece_and_greedy_are_exported_too(tmp_path: Path) -> None:
    translator = tiny_translator("unigram", "bpe", cell="gru", search=GreedySearch(5))

    report = export_translator(translator, tmp_path, name="pieces", version=7)

    assert report.parity.passed
    assert visible(tmp_path / "serving") == [
        *("models.config", "monitoring.config"),
        "pieces",
        "pieces/7",
        *(
            f"pieces/7/{name}"
            for name in (
                *("assets", "assets.extra", "batching_params.pbtxt", "fingerprint.pb"),
                *("saved_model.pb", "variables"),
            )
        ),
    ]
    model = onnx.load(tmp_path / "onnx" / "beam.ids.onnx")
    (search,) = (entry.value for entry in model.metadata_props if entry.key == "search")
    assert json.loads(search)["kind"] == "BeamSearch"


@pytest.mark.slow
def test_the_trained_model_is_exported_with_its_sentences(tmp_path: Path) -> None:
    translator = load_translator(ROOT / "saved_models" / "tiny-dates" / "translator.keras")
    dates = [f"{day} May {year}" for day in range(1, 26) for year in (1999, 2004, 2011, 2040)]

    report = export_translator(translator, tmp_path, name="dates", sentences=dates)

    assert report.parity.passed


# What exists.


def test_versions_count_up_and_stay(translator: Translator, tmp_path: Path, quick: Any) -> None:
    serving = tmp_path / "serving" / "m"
    (serving / "latest").mkdir(parents=True)  # no version
    folders = [
        export_translator(translator, tmp_path, name="m", formats=["serving"], version=version)
        for version in (None, None, 10, None)
    ]

    assert [report.saved_model for report in folders] == [
        serving / number for number in ("1", "2", "10", "11")
    ]
    assert sorted(path.name for path in serving.iterdir()) == ["1", "10", "11", "2", "latest"]
    assert "versions: 11 " in (tmp_path / "serving" / "models.config").read_text()


@pytest.mark.parametrize("settings", [{"version": 1}, {"formats": ["onnx"]}, {}])
def test_nothing_is_overwritten_without_force(
    translator: Translator, tmp_path: Path, quick: Any, settings: dict[str, Any]
) -> None:
    export_translator(translator, tmp_path, name="m")
    before = contents(tmp_path)
    taken = "serving/m/1" if "version" in settings else "onnx"

    with pytest.raises(FileExistsError, match=rf"{tmp_path}/{taken} exists .* --force"):
        export_translator(translator, tmp_path, name="m", **settings)

    assert contents(tmp_path) == before


def test_a_readme_that_somebody_wrote_stays(
    translator: Translator, tmp_path: Path, quick: Any
) -> None:
    export_translator(translator, tmp_path, name="m", formats=["serving"])
    export_translator(translator, tmp_path, name="m", formats=["serving"])  # its own is replaced
    (tmp_path / "README.md").write_text("# My model")

    with pytest.raises(FileExistsError, match=r"README\.md was not made by an export"):
        export_translator(translator, tmp_path, name="m", formats=["serving"])
    assert (tmp_path / "README.md").read_text() == "# My model"


def test_force_replaces_what_was_named_and_nothing_else(
    translator: Translator, tmp_path: Path, quick: Any
) -> None:
    export_translator(translator, tmp_path, name="m")
    (tmp_path / "onnx" / "old").touch()
    before = contents(tmp_path)

    export_translator(translator, tmp_path, name="m", force=True)
    added = contents(tmp_path)
    export_translator(translator, tmp_path, name="m", version=1, force=True)
    replaced = contents(tmp_path)

    first, second = "serving/m/1/saved_model.pb", "serving/m/2/saved_model.pb"
    assert "onnx/old" in before
    assert "onnx/old" not in added
    assert added[first] == before[first]  # a server may hold it; it is not touched
    assert second in added
    assert replaced[first] != before[first]
    assert replaced[second] == added[second]
    assert not list(tmp_path.glob(".*"))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


# What fails.


def test_failed_parity_publishes_nothing_and_tells_why(
    translator: Translator, tmp_path: Path, quick: dict[str, bool]
) -> None:
    export_translator(translator, tmp_path, name="m")
    before = contents(tmp_path)
    quick["passed"] = False

    with pytest.raises(ParityError) as caught:
        export_translator(translator, tmp_path, name="m", force=True)

    after = contents(tmp_path)
    failed = json.loads(after.pop("parity.failed.json"))
    assert failed["passed"] is False
    assert after == before
    assert "nothing was published: it at batch 1, 1 of 1 outputs differ" in str(caught.value)
    assert f"{tmp_path}/parity.failed.json" in str(caught.value)
    assert "\n" not in str(caught.value)

    quick["passed"] = True
    export_translator(translator, tmp_path, name="m", force=True)
    assert "parity.failed.json" not in contents(tmp_path)


@pytest.mark.thorough
def test_a_saved_model_of_other_weights_fails_and_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_s2s.export.saved_model import version

    translator, other = (
        tiny_translator("char", "char", search=GreedySearch(4), seed=seed) for seed in (1, 2)
    )
    write = version.write_saved_model
    monkeypatch.setattr(
        version,
        "write_saved_model",
        lambda plan, folder: write(replace(plan, translator=other), folder),
    )

    with pytest.raises(ParityError, match=r"serving_default \(Python\) at batch 1, \d+ of \d+ "):
        export_translator(translator, tmp_path, name="m", formats=("serving",))

    assert visible(tmp_path) == ["parity.failed.json"]


@pytest.mark.thorough
@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("when", ["Comparing serving/m/1 beam (Python)", "Writing the SavedModel"])
def test_a_killed_export_leaves_no_version_and_the_next_one_clears_up(
    tmp_path: Path, when: str, translator: Translator, quick: Any
) -> None:
    program = (
        "import os, sys, time\n"
        "from support.translators import tiny_translator\n"
        "from keras_s2s.export import export_translator\n"
        "from keras_s2s.search import GreedySearch\n"
        "def wait(message):\n"
        f"    if message == {when!r}:\n"
        "        print('now', flush=True)\n"
        "        time.sleep(600)\n"
        "export_translator(tiny_translator('char', 'char', search=GreedySearch(3)), sys.argv[1],\n"
        "    name='m', formats=('serving',), progress=wait)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".tmp-")
    if when.startswith("Comparing"):
        assert (left / "serving" / "m" / "1" / "saved_model.pb").is_file()  # it was far on

    export_translator(translator, tmp_path, name="m", formats=("serving",))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("README.md", "parity.expected.json", "parity.json", "parity.md", "serving"),
    ]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"formats": ["tflite"]}, ValueError, "must be one or more of 'serving', 'onnx', 'triton'"),
        ({"formats": ["triton"]}, ValueError, "'triton' holds the ONNX model: add 'onnx'"),
        ({"formats": "onnx"}, ValueError, "got 'onnx'"),
        ({"formats": []}, ValueError, "got \\[\\]"),
        ({"version": 0}, ValueError, "must be a positive integer; got version=0"),
        ({"version": True}, ValueError, "got version=True"),
        ({"version": 2**63}, ValueError, "`version` must be below 2\\*\\*63"),
        ({"name": "a/b"}, ValueError, "`name` must be of letters"),
        ({"name": ".tmp"}, ValueError, "Give a name"),
        ({"name": ""}, ValueError, "Give a name"),
        ({"beam": 0}, ValueError, "`beam` must be a positive integer or None; got beam=0"),
        ({"beam": True}, ValueError, "`beam` must be a positive integer or None; got beam=True"),
        ({"beam": 1000}, ValueError, "at most the number of target ids, 30; got 1000"),
        ({"server": "2.11"}, ValueError, "from 2.12 to 2.21; got '2.11'"),
        ({"server": "new"}, ValueError, "from 2.12 to 2.21; got 'new'"),
    ],
)
def test_arguments_without_meaning_are_refused_before_any_work(
    translator: Translator,
    tmp_path: Path,
    settings: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        export_translator(translator, tmp_path / "out", **settings)

    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_remedy(
    translator: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = packages.importlib.util.find_spec
    monkeypatch.setattr(
        packages.importlib.util, "find_spec", lambda n: None if n == "tf2onnx" else find(n)
    )

    with pytest.raises(ImportError, match=r"needs tf2onnx, .* pip install 'keras-s2s\[onnx\]'"):
        export_translator(translator, tmp_path / "out")


@pytest.mark.thorough
def test_a_saved_model_needs_none_of_the_packages_for_onnx() -> None:
    code = (
        "import sys; sys.modules.update(onnx=None, tf2onnx=None, onnxruntime=None)\n"
        "from keras_s2s.export import export_translator, verify_export\nprint('there')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "there\n", done.stderr[-500:]


def test_onnx_of_a_model_in_mixed_precision_is_refused(
    translator: Translator, tmp_path: Path
) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    translator = tiny_translator("char", "char")

    with pytest.raises(ValueError, match="must compute in float32 to become ONNX; got bfloat16"):
        export_translator(translator, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "value"),
    [("unknown_replacement", UnknownReplacement()), ("choice", MinimumBayesRisk())],
)
def test_what_graphs_cannot_do_is_refused(
    translator: Translator, tmp_path: Path, name: str, value: Any
) -> None:
    other = translator.copy()
    setattr(other, name, value)
    with pytest.raises(ValueError, match=rf"`translator\.{name}` is not part of exported graphs"):
        export_translator(other, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_output_folders_name_is_the_models_name(
    translator: Translator, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "en-de").mkdir()
    monkeypatch.chdir(tmp_path / "en-de")

    report = export_translator(translator, ".", formats=["serving"])

    assert report.saved_model == Path("serving/en-de/1")


def test_public_names_are_there_and_importing_them_is_lazy() -> None:
    assert all(hasattr(keras_s2s.export, name) for name in keras_s2s.export.__all__)
    with pytest.raises(AttributeError, match=r"No keras_s2s\.export attribute nothing"):
        _ = keras_s2s.export.nothing
    program = "import keras_s2s.export, sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_onnx_files_say_what_was_trained_and_made_with_what(exported_cats: Exported) -> None:
    model = onnx.load(exported_cats.folder / "onnx" / "encoder.onnx")
    found = {entry.key: entry.value for entry in model.metadata_props}

    assert set(json.loads(found["versions"])) >= {"keras", "tensorflow", "tf2onnx", "onnx"}
    assert "training" not in found  # it came from no folder of a training
