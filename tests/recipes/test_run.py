"""A recipe runs from an empty folder to its table, keeps finished parts, and resumes others."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from keras_s2s import ensemble_translators
from keras_s2s.cli import main as cli
from keras_s2s.data.reading import group_references, read_tsv
from keras_s2s.evaluation import metrics as scores
from keras_s2s.recipes.recipe import Recipe, read_recipe
from keras_s2s.recipes.run import RESULTS, run_recipe
from keras_s2s.recipes.table import BY_LENGTH, LEARNING_CURVE, table
from keras_s2s.training import progress
from keras_s2s.translation.archive import load_translator

RECIPE = """
title = "words"
seeds = [3]
average = 2
[settings]
data = "train.tsv"
val_data = "val.tsv"
source_tokenizer = "char"
target_tokenizer = "word"
embedding_size = 6
units = 8
batch_size = 8
epochs = 2
learning_rate = 0.02
monitor = "per"
beam = 2
max_source_length = 20
max_target_length = 6
[runs.gru]
[runs.lstm]
cell = "lstm"
[[evaluations]]
name = "held out"
data = "val.tsv"
metrics = ["wer", "per", "bleu"]
tokenize = "none"
beam = 3
length_penalty = 0.5
int8 = true
by_length = [1]
"""


class Killed(BaseException):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    words = {"one": "1", "two": "2", "six": "6", "ten": "1 0"}
    lines = [f"{a} {b}\t{words[a]} {words[b]}" for a in words for b in words]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    # A source with two references, and one of one word.
    held_out = ["one two\t1 2", "one two\t1 and 2", "ten\t1 0", "six six\t6 6"]
    (folder / "val.tsv").write_text("\n".join(held_out) + "\n", encoding="utf-8")
    (folder / "words").mkdir()
    (folder / "words" / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def recipe(data: Path) -> Recipe:
    return read_recipe(data / "words" / "recipe.toml")


def run(recipe: Recipe, data: Path, output: Path, **given: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    console = Console(file=io.StringIO())
    return run_recipe(recipe, data, output, say=said.append, console=console, **given), said


@pytest.fixture(scope="module")
def whole(recipe: Recipe, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an uninterrupted run."""
    output = tmp_path_factory.mktemp("whole") / "out"
    run(recipe, data, output)
    return output


def read(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / RESULTS).read_text(encoding="utf-8"))
    return found


def without_times(results: dict[str, Any]) -> list[dict[str, Any]]:
    times = ("minutes", "processor_minutes")
    return [{k: v for k, v in each.items() if k not in times} for each in results["results"]]


def test_results_are_the_scores_of_the_model_that_is_left(whole: Path, data: Path) -> None:
    results = read(whole)
    sources, references = group_references(read_tsv(data / "val.tsv"))

    assert [(each["run"], each["seed"]) for each in results["results"]] == [("gru", 3), ("lstm", 3)]
    for each in results["results"]:
        folder = whole / f"{each['run']}-3"
        translator = load_translator(folder / "average.keras")
        translator.search = translator.search.like(width=3, length_penalty=0.5)
        outputs = translator(sources)
        (found,) = each["evaluations"]
        assert (folder / "held-out.out").read_text(encoding="utf-8").splitlines() == outputs
        # Eight bits may say another thing; what is scored is what they said.
        eighth = (folder / "held-out.int8.out").read_text(encoding="utf-8").splitlines()
        assert len(eighth) == len(outputs)
        assert (
            found["int8"]["scores"]["wer"]["value"]
            == scores.word_error_rate(eighth, references).value
        )
        assert 0 < found["int8"]["megabytes"] < 1
        assert found["scores"] == {
            "wer": scores.word_error_rate(outputs, references)._asdict(),
            "per": scores.phone_error_rate(outputs, references)._asdict(),
            "bleu": scores.bleu(outputs, references, tokenize="none")._asdict(),
        }
        assert (found["beam"], found["sentences"]) == (3, 3)
        assert "0.5" in found["length_penalty"]
        assert [(one["words"], one["sentences"]) for one in found["by_length"]] == [
            ([1, 1], 1),
            ([2, None], 2),
        ]
        assert each["parameters"] == translator.model.count_params()
        assert each["epochs"] == len(each["history"]) == 2
        assert each["minutes"] >= 0
    assert all(each["machine"]["cores"] >= 1 for each in results["results"])


def test_what_is_finished_is_not_done_again(whole: Path, recipe: Recipe, data: Path) -> None:
    before = read(whole)
    results, said = run(recipe, data, whole)

    assert results == before
    assert said == ["1/2  gru, seed 3: done before", "2/2  lstm, seed 3: done before"]


@pytest.mark.thorough
def test_several_trainings_are_scored_as_one_model(
    whole: Path, recipe: Recipe, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    ensembles = {"the two": ("gru", "lstm"), "lstm": ("lstm",)}
    together = dataclasses.replace(recipe, ensembles=ensembles)
    results, said = run(together, data, output, runs=["gru"], seeds=[3, 4])
    (found,) = results["ensembles"]  # of `lstm` there is one seed only

    assert said[-1] == "the two, ensemble of gru (seeds 3, 4) and lstm (seed 3)"
    assert (found["name"], found["members"]) == ("the two", {"gru": [3, 4], "lstm": [3]})
    names = ("gru-3", "gru-4", "lstm-3")
    members = [load_translator(output / name / "average.keras") for name in names]
    translator = ensemble_translators(members)
    assert found["parameters"] == translator.model.count_params()
    translator.search = translator.search.like(width=3, length_penalty=0.5)
    sources, references = group_references(read_tsv(data / "val.tsv"))
    outputs = translator(sources)
    folder = output / "the-two-ensemble"
    assert (folder / "held-out.out").read_text(encoding="utf-8").splitlines() == outputs
    assert load_translator(folder / "translator.keras")(sources) == members[0].with_model(
        translator.model
    )(sources)
    (evaluation,) = found["evaluations"]
    error = scores.word_error_rate(outputs, references)
    assert evaluation["scores"]["wer"] == error._asdict()
    assert evaluation["int8"]["megabytes"] > 0
    assert read(output) == results

    again, said = run(together, data, output, runs=["gru"], seeds=[3, 4])
    assert again == results
    assert said[-1] == "the two, ensemble of gru (seeds 3, 4) and lstm (seed 3): done before"
    # Another seed is another ensemble.
    results, said = run(together, data, output, runs=["gru"], seeds=[5])
    assert results["ensembles"][0]["members"] == {"gru": [3, 4, 5], "lstm": [3]}
    # So is one of the same seeds, where one of them was trained again.
    shutil.rmtree(output / "gru-5")
    _, said = run(together, data, output, runs=["gru"], seeds=[5])
    assert said[-1] == "the two, ensemble of gru (seeds 3, 4, 5) and lstm (seed 3)"


@pytest.mark.thorough
def test_a_run_learns_from_the_models_of_the_run_before_it(
    whole: Path, recipe: Recipe, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    shutil.rmtree(output / "lstm-3")
    taught = dataclasses.replace(recipe, teachers={"lstm": "gru"}, own_seeds={"gru": (4,)})
    run(taught, data, output, runs=["gru"])
    results, said = run(taught, data, output, runs=["lstm"])

    assert said == ["1/1  lstm, seed 3", "lstm: its sources are translated by gru, seeds 3, 4"]
    pairs = list(read_tsv(data / "train.tsv"))
    members = [load_translator(output / f"gru-{seed}" / "average.keras") for seed in (3, 4)]
    translations = ensemble_translators(members)([source for source, _ in pairs])
    both = pairs + [(a, b) for (a, _), b in zip(pairs, translations, strict=True) if b]
    assert len(both) > len(pairs)
    folder = output / "lstm-taught-by-gru-3-4"
    assert list(read_tsv(folder / "data.tsv")) == both
    settings = json.loads((output / "lstm-3" / "settings.json").read_text(encoding="utf-8"))
    assert settings["data"] == str(folder / "data.tsv")
    # Its vocabulary is the teacher's, so that both can be decoded together.
    assert settings["tokenizers_from"] == str(output / "gru-3" / "average.keras")
    (lstm,) = (each for each in results["results"] if each["run"] == "lstm")
    assert lstm["teacher"] == {"run": "gru", "seeds": [3, 4]}
    printed = table(taught, results)
    (row,) = (line for line in printed.splitlines() if line.startswith("| lstm |"))
    assert row.endswith("| learned from gru (seeds 3, 4) too |")

    # Another seed learns from the same text.
    _, said = run(taught, data, output, runs=["lstm"], seeds=[4])
    assert said == ["1/1  lstm, seed 4"]

    # With another vocabulary than the teacher's, it makes its own.
    runs = {**recipe.runs, "lstm": {"source_tokenizer": "word"}}
    run(dataclasses.replace(taught, runs=runs), data, output, runs=["lstm"], seeds=[5])
    settings = json.loads((output / "lstm-5" / "settings.json").read_text(encoding="utf-8"))
    assert settings["tokenizers_from"] is None


def test_a_run_whose_teacher_was_not_trained_is_refused(
    recipe: Recipe, data: Path, tmp_path: Path
) -> None:
    taught = dataclasses.replace(recipe, teachers={"lstm": "gru"})
    with pytest.raises(ValueError, match=r"lstm learns from gru, but .* Run gru"):
        run(taught, data, tmp_path / "out", runs=["lstm"])
    assert not (tmp_path / "out").exists()


@pytest.mark.thorough
def test_a_killed_run_goes_on_to_the_same_results(
    whole: Path, recipe: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = progress.ProgressBar.on_epoch_end

    def killed(bar: Any, epoch: int, logs: Any = None) -> None:
        end(bar, epoch, logs)
        raise Killed

    monkeypatch.setattr(progress.ProgressBar, "on_epoch_end", killed)
    with pytest.raises(Killed):
        run(recipe, data, tmp_path / "out", runs=["gru"])
    monkeypatch.undo()

    results, _ = run(recipe, data, tmp_path / "out", runs=["gru"])

    assert without_times(results) == without_times(read(whole))[:1]
    assert results["results"][0]["minutes"] is None  # only the second half was measured


@pytest.mark.thorough
def test_a_shortened_run_from_the_command_line_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        *("recipe", str(data / "words"), "--data", str(data), "--output", str(tmp_path / "out")),
        *("--run", "gru", "--seed", "5", "--epochs", "1", "--pairs", "12"),
    ]
    assert cli.main(given) == 0
    printed = capsys.readouterr().out
    results = read(tmp_path / "out")

    (only,) = results["results"]
    assert (only["seed"], only["epochs"]) == (5, 1)
    assert only["shortened"] == {"epochs": 1, "pairs": 12}
    assert "**A shortened run** (1 epochs, 12 pairs)" in printed
    recipe = read_recipe(data / "words" / "recipe.toml")
    assert printed.strip() == table(recipe, results).strip()
    assert (tmp_path / "out" / "table.md").read_text(encoding="utf-8").strip() == printed.strip()
    for picture in (LEARNING_CURVE, BY_LENGTH):
        assert (tmp_path / "out" / picture).stat().st_size > 1000
    assert {path.name for path in data.iterdir()} == {"train.tsv", "val.tsv", "words"}


def test_a_run_that_the_recipe_has_not_is_refused(
    recipe: Recipe, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="runs of recipe words are gru, lstm; got rnn"):
        run(recipe, data, tmp_path / "out", runs=["rnn"])
    assert not (tmp_path / "out").exists()


def test_missing_packages_are_named_before_anything_is_trained(
    recipe: Recipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find(name)
    )
    with pytest.raises(ImportError, match=r"needs tf2onnx.*take `int8` out of the recipe"):
        run(recipe, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.corpora
@pytest.mark.parametrize(
    ("name", "runs", "pairs"),
    [
        ("sigmorphon2020", ["hun"], 1000),
        ("cmudict", ["lstm"], 2000),
        # So many that 10,000 subwords can be made of them.
        ("multi30k", ["deep", "small"], 8000),
        ("multi30k-cased", ["small"], 8000),
        ("attention-comparison", ["general"], 8000),
    ],
)
def test_our_recipes_run_shortened(
    corpora: Path, tmp_path: Path, name: str, runs: list[str], pairs: int
) -> None:
    given = [
        *("recipe", name, "--data", str(corpora), "--output", str(tmp_path / "out")),
        *("--seed", "1", "--epochs", "1", "--pairs", str(pairs)),
        *(argument for run_name in runs for argument in ("--run", run_name)),
    ]
    assert cli.main(given) == 0
    found = read(tmp_path / "out")["results"]
    assert [each["run"] for each in found] == runs
    # Of training: validation takes the moving average, which begins with the first weights.
    assert all(each["history"][0]["perplexity"] < 2000 for each in found)
    assert "**A shortened run**" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
