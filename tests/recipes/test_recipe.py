"""Tests of recipes: what they declare, what they refuse, and those that come with the project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keras_s2s.recipes.recipe import RECIPES, Recipe, find_recipe, read_recipe, settings_of
from keras_s2s.recipes.run import RESULTS
from keras_s2s.recipes.table import BY_LENGTH, LEARNING_CURVE, table
from keras_s2s.training.settings.settings import FILES

SMALL = """
title = "letters"
seeds = [1, 2]
[settings]
data = "{run}/train.tsv"
val_data = "{run}/val.tsv"
source_tokenizer = "char"
[runs.one]
[runs.two]
units = 8
[[evaluations]]
name = "dev"
data = "{run}/val.tsv"
metrics = ["wer"]
[[published]]
name = "theirs"
differs = "another test"
scores = { wer = 5.0 }
"""


def recipe_file(folder: Path, text: str = SMALL) -> Path:
    (folder / "letters").mkdir()
    path = folder / "letters" / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def data_for(recipe: Recipe, folder: Path) -> Path:
    """A folder with an empty file for each that the recipe reads."""
    for run, changes in recipe.runs.items():
        given = {**recipe.settings, **changes}
        names = [str(given[name]).format(run=run) for name in FILES if name in given]
        for name in names + [file for each in recipe.evaluations for file in each.files(run)]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    return folder


def test_a_recipe_is_found_by_name_by_folder_and_by_file(tmp_path: Path) -> None:
    path = recipe_file(tmp_path)

    assert find_recipe(path) == find_recipe(path.parent) == path
    assert find_recipe("cmudict") == RECIPES / "cmudict" / "recipe.toml"
    with pytest.raises(FileNotFoundError, match=r"no recipe `cmu`.*cmudict, multi30k, .*sigm"):
        find_recipe("cmu")


def test_settings_of_a_run_are_the_recipes_with_its_own_changes(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path))
    data = data_for(recipe, tmp_path / "data")
    one, two = (settings_of(recipe, run, 7, data, tmp_path / "out") for run in recipe.runs)

    assert (recipe.name, recipe.seeds) == ("letters", (1, 2))
    assert (one.units, two.units) == (512, 8)
    assert one.data == str(data / "one" / "train.tsv")
    assert (one.seed, one.output) == (7, str(tmp_path / "out" / "one-7"))
    assert settings_of(recipe, "one", 1, data, tmp_path, epochs=2).epochs == 2


def test_a_recipe_that_averages_keeps_as_many_epochs(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, "average = 3\n" + SMALL))
    data = data_for(recipe, tmp_path / "data")

    assert settings_of(recipe, "one", 1, data, tmp_path / "out").keep_checkpoints == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title =", "name =", "is no recipe: .*'name'"),
        ("title =", "title", "is no recipe: "),
        ('["wer"]', '["meteor"]', "`metrics` must be among bleu, .*; got meteor"),
        ('data = "{run}/val.tsv"\nmetrics', "metrics", "'dev' needs `source` and `target`, or"),
        ("seeds = [1, 2]", "seeds = []", "needs seeds, runs and evaluations"),
        ("seeds = [1, 2]", "seeds = 3", "`seeds` must be a list of whole numbers; got 3"),
        ("units = 8", "seeds = []", r"`seeds` must be a list of whole numbers; got \(\)"),
        ("units = 8", "seeds = ['1']", r"`seeds` must be a list of whole numbers; got \('1',\)"),
        ('name = "theirs"', 'who = "they"', "is no recipe: .*'who'"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    with pytest.raises(ValueError, match=message):
        read_recipe(recipe_file(tmp_path, SMALL.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("units = 8", "unit = 8", "settings of recipe letters cannot be: .*'unit'"),
        ("units = 8", "units = 7", "`units` must be even"),
    ],
)
def test_settings_that_cannot_be_are_named(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    recipe = read_recipe(recipe_file(tmp_path, SMALL.replace(old, new)))
    data = data_for(recipe, tmp_path / "data")
    with pytest.raises(ValueError, match=message):
        settings_of(recipe, "two", 1, data, tmp_path / "out")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"reads `.*one/train.tsv`.*\(--data\)"):
        settings_of(recipe, "one", 1, tmp_path, tmp_path / "out")


def result(run: str, seed: int, wer: float, **given: Any) -> dict[str, Any]:
    evaluation = {
        "name": "dev",
        "sentences": 90,
        "beam": 5,
        "length_penalty": "GNMT(alpha=1.0)",
        "scores": {"wer": {"value": wer, "signature": "nrefs:1"}},
        "by_length": [],
    }
    usual = {
        "run": run,
        "seed": seed,
        "parameters": 1234,
        "epochs": 3,
        "minutes": 5.1,
        "processor_minutes": 2.4,
        "machine": {"processor": "abacus", "cores": 2},
        "versions": {"x": "1"},
        "evaluations": [evaluation],
        "shortened": {},
    }
    return {**usual, **given}


def results(*each: dict[str, Any]) -> dict[str, Any]:
    return {"recipe": "letters", "results": [*each]}


def test_table_has_mean_and_spread_of_seeds_and_what_was_published(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, "mean_of_runs = true\n" + SMALL))
    found = results(
        result("one", 1, 0.1),
        result("one", 2, 0.2, epochs=5, minutes=None, processor_minutes=None),
        result("two", 1, 0.4),
    )
    lines = table(recipe, found).splitlines()

    assert lines[0].startswith("| letters | dev: WER, % | seeds | parameters |")
    assert lines[2] == "| one | 15.00 (10.00 to 20.00) | 1, 2 | 1,234 | 3 to 5 | 2 |  |"
    assert lines[3] == "| two | 40.00 | 1 | 1,234 | 3 | 2 |  |"
    assert lines[4] == "| **mean** | **27.50** |  |  |  |  |  |"  # of 15 and 40
    assert lines[5] == "| theirs | 5.00 |  |  |  |  | another test |"
    text = "\n".join(lines)
    assert "abacus, 2 cores; x 1." in text
    assert "Signatures: WER, % `nrefs:1`." in text
    assert "dev: beam 5, length penalty GNMT(alpha=1.0), 90 sentences" in text
    assert "shortened" not in text


def test_table_has_a_row_of_int8_models_where_they_were_run(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, SMALL))
    eighth, whole = result("one", 1, 0.1), result("two", 1, 0.4)
    (found,) = eighth["evaluations"]
    found["int8"] = {"megabytes": 3.26, "scores": {"wer": {"value": 0.11, "signature": "x"}}}
    whole["evaluations"][0]["int8"] = None

    lines = table(recipe, results(eighth, whole)).splitlines()

    assert lines[3] == "| one, int8 | 11.00 |  |  |  |  | `model.int8.onnx`, 3.3 MB |"
    assert lines[4].startswith("| two | 40.00 |")
    assert lines[5].startswith("| theirs |")


def test_table_has_ensembles_below_the_last_of_their_runs(tmp_path: Path) -> None:
    one_text = SMALL.replace('"{run}/val.tsv"\nmetrics', '"val.tsv"\nmetrics')
    text = one_text + '[ensembles]\n"the two" = ["one", "two"]\n'
    recipe = read_recipe(recipe_file(tmp_path, text))
    members = {"one": [1], "two": [1, 2]}
    together = result("", 0, 0.3, name="the two", members=members, parameters=2468)
    (found,) = together["evaluations"]
    found["int8"] = {"megabytes": 6.5, "scores": {"wer": {"value": 0.31, "signature": "x"}}}
    each = (result("one", 1, 0.1), result("two", 1, 0.4), result("two", 2, 0.5))

    lines = table(recipe, {**results(*each), "ensembles": [together]}).splitlines()

    assert lines[3].startswith("| two | 45.00 (40.00 to 50.00) |")
    assert lines[4] == (
        "| the two, ensemble | 30.00 |  | 2,468 |  |  | "
        "one (seed 1) and two (seeds 1, 2) decoded as one model |"
    )
    assert lines[5] == "| the two, ensemble, int8 | 31.00 |  |  |  |  | `model.int8.onnx`, 6.5 MB |"
    assert lines[6].startswith("| theirs |")


def taught(run: str, line: str) -> str:
    """The small recipe, with a line more in a run."""
    head = f"[runs.{run}]\n"
    assert head in SMALL
    return SMALL.replace(head, f"{head}{line}\n")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ('["one", "three"]', r"must be a list of one, two, in this order; got \('one', 'three'\)"),
        ('["one", "one"]', "mine must be a list of one, two"),
        ('["two", "one"]', "mine must be a list of one, two, in this order"),
        ("[]", "mine must be a list of one, two"),
        ("true", "mine must be a list of one, two, in this order; got True"),
        ('["one"]', "mine needs two seeds or more; got one"),
        ('["one", "two"]', "mine is of runs that are scored on other texts"),
    ],
)
def test_an_ensemble_is_of_runs_on_one_text_with_two_seeds(
    tmp_path: Path, members: str, message: str
) -> None:
    text = taught("one", "seeds = [3]") + f"[ensembles]\nmine = {members}\n"
    with pytest.raises(ValueError, match=message):
        read_recipe(recipe_file(tmp_path, text))


def test_an_ensemble_is_of_runs_with_one_vocabulary(tmp_path: Path) -> None:
    one_text = SMALL.replace('"{run}/val.tsv"\nmetrics', '"val.tsv"\nmetrics')
    text = one_text.replace("units = 8", "source_vocabulary_size = 8")
    with pytest.raises(ValueError, match="mine is of runs with other settings of their vocab"):
        read_recipe(recipe_file(tmp_path, f'{text}[ensembles]\nmine = ["one", "two"]\n'))


def test_a_run_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, taught("one", "seeds = [3]")))

    assert (recipe.seeds_of("one"), recipe.seeds_of("two")) == ((3,), (1, 2))
    assert "seeds" not in recipe.runs["one"]


def test_the_teacher_of_a_run_is_no_setting_of_it(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, taught("two", 'teacher = "one"')))
    assert recipe.teachers == {"two": "one"}
    assert "teacher" not in recipe.runs["two"]


@pytest.mark.parametrize(
    ("run", "teacher", "message"),
    [
        ("one", '"two"', "`teacher` of one must be a run before it; got 'two' of one, two"),
        ("two", '"two"', "`teacher` of two must be a run before it; got 'two'"),
        ("two", '"three"', "`teacher` of two must be a run before it; got 'three'"),
        ("two", "3", "`teacher` of two must be a run before it; got 3"),
    ],
)
def test_a_teacher_is_a_run_before(tmp_path: Path, run: str, teacher: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_recipe(recipe_file(tmp_path, taught(run, f"teacher = {teacher}")))


def test_flags_of_a_recipe_are_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`mean_of_runs` must be true or false; got 'no'"):
        read_recipe(recipe_file(tmp_path, f"mean_of_runs = 'no'\n{SMALL}"))


def test_table_says_what_is_no_whole_result(tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file(tmp_path, "mean_of_runs = true\n" + SMALL))
    text = table(recipe, results(result("one", 1, 0.1, shortened={"epochs": 1, "pairs": 2000})))

    assert "**A shortened run** (1 epochs, 2,000 pairs), not the recipe's result." in text
    assert "**mean**" not in text  # of one run of two
    with pytest.raises(ValueError, match="must be results of recipe letters; got 0 of letters"):
        table(recipe, results())


# Those of the project.

OURS = sorted(path.parent for path in RECIPES.glob("*/recipe.toml"))
each_of_ours = pytest.mark.parametrize("folder", OURS, ids=lambda folder: folder.name)


def test_the_projects_recipes_are_there() -> None:
    assert {folder.name for folder in OURS} == {
        *("attention-comparison", "cmudict", "multi30k", "multi30k-cased", "sigmorphon2020"),
    }


@each_of_ours
def test_settings_of_our_recipes_are_valid(folder: Path, tmp_path: Path) -> None:
    recipe = read_recipe(folder / "recipe.toml")
    data = data_for(recipe, tmp_path / "data")

    for run in recipe.runs:
        settings = settings_of(recipe, run, 1, data, tmp_path / "out")
        tested = {str(data / name) for each in recipe.evaluations for name in each.files(run)}
        # Nothing is chosen, and nothing trained, on a text that is called a test.
        used = {settings.data, settings.source, settings.val_data, settings.val_source}
        assert not {name for name in tested & used if name and "test" in Path(name).name}
        assert not tested & {settings.data, settings.source}


@each_of_ours
def test_readme_of_our_recipes_has_the_command_and_only_measured_tables(folder: Path) -> None:
    """The table comes from the committed JSON; without JSON there is no table."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    recipe = read_recipe(folder / "recipe.toml")

    assert re.search(rf"^keras-s2s recipe {folder.name} --data \S+ --output \S+", text, re.M)
    if (folder / RESULTS).exists():
        found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        assert table(recipe, found).strip() in text
        assert not any(each["shortened"] for each in found["results"])
        assert (folder / LEARNING_CURVE).exists()
        if any(each.by_length for each in recipe.evaluations):
            assert (folder / BY_LENGTH).exists()
    else:
        assert "| ---" not in text
        assert "not been run" in text
