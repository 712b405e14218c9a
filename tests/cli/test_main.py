"""Tests of the command line: commands, options, printed lines, errors and exit codes."""

import inspect
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.main import get_command

from keras_s2s.cli import main as cli
from keras_s2s.training.settings.declaration import declared
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.minimum_bayes_risk import expected_utilities

LEXICON = {"red": "rot", "dog": "Hund", "big": "groß", "cat": "Katze", "tree": "Baum"}
SMALL = [
    *("--tokenizer", "char", "--embedding-size", "12", "--units", "24", "--batch-size", "10"),
    *("--learning-rate", "0.03", "--dropout", "0", "--max-source-length", "30"),
    *("--max-target-length", "30", "--beam", "3"),
]
HEAVY = {"tensorflow", "keras", "numpy", "sacrebleu", "matplotlib", "sentencepiece"}


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process, as its entry point does."""

    def run(*arguments: object) -> Answer:
        capfd.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return Answer(code, *capfd.readouterr())

    return run


def process(*arguments: object, text: str | None = None, env: Any = None) -> Answer:
    """Runs the command in a process of its own, as a user does."""
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from keras_s2s.cli.main import main; sys.exit(main())"]
        + [str(argument) for argument in arguments],
        input=text,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **(env or {})},
        timeout=300,
        check=False,
    )
    return Answer(run.returncode, run.stdout, run.stderr)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with training and validation pairs, as two files and as a TSV."""
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(1)
    for name, count in (("train", 60), ("val", 12)):
        pairs = [draw.choices(list(LEXICON), k=draw.randint(1, 3)) for _ in range(count)]
        sources = [" ".join(words) for words in pairs]
        targets = [" ".join(LEXICON[word] for word in words) for words in pairs]
        write(folder / f"{name}.en", sources)
        write(folder / f"{name}.de", targets)
        write(folder / f"{name}.tsv", [f"{s}\t{t}" for s, t in zip(sources, targets, strict=True)])
    return folder


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def two_files(texts: Path) -> list[str]:
    return [
        *("--source", f"{texts}/train.en", "--target", f"{texts}/train.de"),
        *("--val-source", f"{texts}/val.en", "--val-target", f"{texts}/val.de"),
    ]


def tsv(texts: Path) -> list[str]:
    return ["--data", f"{texts}/train.tsv", "--val-data", f"{texts}/val.tsv"]


@pytest.fixture(scope="module")
def model(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that the command trained, far enough that its outputs differ."""
    output = tmp_path_factory.mktemp("model") / "en-de"
    arguments = ["train", *two_files(texts), *SMALL, "--epochs", "20", "--output", str(output)]
    assert cli.main(arguments) == 0
    return output


# The whole road.


def test_train_says_what_it_did(command: Command, texts: Path, tmp_path: Path) -> None:
    found = command("train", *tsv(texts), *SMALL, "--epochs", 1, "--output", tmp_path / "m")

    assert found.code == 0
    assert re.fullmatch(
        rf"{tmp_path}/m/translator\.keras: best epoch 1 of 1, validation perplexity \d+\.\d\d\n",
        found.out,
    )
    assert re.search(r"^epoch 1/1  loss .*  \|  validation  loss .* s$", found.err, re.MULTILINE)
    recorded = json.loads((tmp_path / "m" / "settings.json").read_text(encoding="utf-8"))
    assert recorded["units"] == 24
    assert recorded["target_tokenizer"] == "char"


def test_translate_keeps_the_order_of_lines_and_empty_ones(
    command: Command, model: Path, tmp_path: Path
) -> None:
    lines = ["red cat", "", "dog", "  ", "big big tree"]
    found = command("translate", model, write(tmp_path / "in", lines), "--batch-size", 2)
    alone = [command("translate", model, write(tmp_path / "in", [line])).out for line in lines]

    assert (found.code, found.err) == (0, "")
    assert found.out == "".join(alone)
    outputs = found.out.split("\n")
    assert [bool(output) for output in outputs] == [True, False, True, False, True, False]
    assert len({outputs[0], outputs[2], outputs[4]}) == 3


@pytest.mark.thorough
def test_translate_reads_standard_input_like_a_file_and_is_quiet(
    command: Command, model: Path, tmp_path: Path
) -> None:
    lines = ["red cat", "", "dog"]
    expected = command("translate", model, write(tmp_path / "in", lines))

    # The last line has no end, and nothing asks TensorFlow to be silent.
    found = process("translate", model, text="\n".join(lines), env={"TF_CPP_MIN_LOG_LEVEL": "3"})

    assert found == Answer(0, expected.out, "")


def test_translate_of_nothing_is_nothing(command: Command, model: Path, tmp_path: Path) -> None:
    assert command("translate", model, write(tmp_path / "in", [])) == Answer(0, "", "")


def test_translate_numbers_the_n_best(command: Command, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "in", ["red cat", "", "dog"])
    plain = command("translate", model, file, "--beam", 4).out.splitlines()
    rows = [
        line.split("\t")
        for line in command(
            "translate", model, file, "--beam", 4, "--n-best", 3, "--scores"
        ).out.splitlines()
    ]

    assert [row[0] for row in rows] == ["1", "1", "1", "2", "3", "3", "3"]
    assert [rows[0][2], rows[3][2], rows[4][2]] == plain
    for first in (0, 4):
        scores = [float(row[1]) for row in rows[first : first + 3]]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] < 0


def test_translate_ranks_by_the_length_penalty(
    command: Command, model: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "in", ["red cat"])
    scores = [
        float(
            command(
                *("translate", model, file, "--beam", 1, "--scores"),
                *("--length-penalty", weight),
            ).out.split("\t")[0]
        )
        for weight in (0, 1)
    ]
    output = command("translate", model, file, "--beam", 1).out.strip()

    # GNMT: the log-probability divided by (5 + length) / 6, the end counted.
    assert scores[1] == pytest.approx(scores[0] / ((5 + len(output) + 1) / 6), abs=2e-4)


@pytest.mark.filterwarnings("default")
def test_translate_cuts_long_lines_with_one_warning(
    command: Command, model: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "in", ["dog", "cat " * 20, "dog " * 20])

    found = command("translate", model, file)

    assert found.code == 0
    assert len(found.out.splitlines()) == 3
    assert found.err == (
        "warning: 2 of 3 texts are longer than 29 source tokens and are cut there; "
        "the first is text 2, with 80 tokens.\n"
    )


def test_evaluate_prints_every_score(
    command: Command, model: Path, texts: Path, tmp_path: Path
) -> None:
    found = command(
        *("evaluate", model, "--source", texts / "val.en", "--target", texts / "val.de"),
        *("--output", tmp_path / "out.de"),
    )
    translated = command("translate", model, texts / "val.en")

    assert (found.code, found.err) == (0, "")
    assert (tmp_path / "out.de").read_text(encoding="utf-8") == translated.out
    outputs = translated.out.splitlines()
    references = (texts / "val.de").read_text(encoding="utf-8").splitlines()
    right = sum(map(str.__eq__, outputs, references))
    assert f"exact match       {100 * right / 12:6.2f} %" in found.out
    assert re.search(r"^BLEU +\d+\.\d\d   nrefs:1\|.*tok:13a.*version:", found.out, re.MULTILINE)
    assert re.search(r"^chrF2 +\d+\.\d\d   nrefs:1\|", found.out, re.MULTILINE)


def scored(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_score_prints_log_probability_and_perplexity(
    command: Command, model: Path, texts: Path, tmp_path: Path
) -> None:
    files = ["--source", texts / "val.en", "--target", texts / "val.de"]
    found = command("score", model, *files)
    tokens = command("score", model, "--data", texts / "val.tsv", "--tokens", "--batch-size", 5)

    assert (found.code, tokens.code) == (0, 0)
    rows = scored(tokens.out)
    targets = (texts / "val.de").read_text(encoding="utf-8").splitlines()
    total, count = 0.0, 0
    for row, plain, target in zip(rows, scored(found.out), targets, strict=True):
        assert row[:2] == plain
        pieces, log_probs = row[2::2], [float(value) for value in row[3::2]]
        assert pieces == [*target.replace(" ", "▁"), "</s>"]
        # Four digits each.
        assert float(row[0]) == pytest.approx(sum(log_probs), abs=1e-4 * len(pieces))
        assert float(row[1]) == pytest.approx(
            math.exp(-float(row[0]) / len(pieces)), rel=1e-3, abs=1e-4
        )
        total += float(row[0])
        count += len(pieces)
    (summary,) = found.err.splitlines()
    said = re.fullmatch(rf"12 pairs, {count} tokens: perplexity (\d+\.\d{{4}})", summary)
    assert float(said[1]) == pytest.approx(math.exp(-total / count), abs=1e-3)


def test_score_of_an_output_is_that_of_the_search(
    command: Command, model: Path, tmp_path: Path
) -> None:
    source = write(tmp_path / "in.en", ["red cat"])
    given = ("--beam", 1, "--length-penalty", 0, "--scores")
    score, text = command("translate", model, source, *given).out.rstrip("\n").split("\t")
    target = write(tmp_path / "out.de", [text])

    found = command("score", model, "--source", source, "--target", target)

    assert float(found.out.split("\t")[0]) == pytest.approx(float(score), abs=1e-3)


@pytest.fixture(scope="module")
def epochs(model: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Models of the last epochs of the same training."""
    output = tmp_path_factory.mktemp("epochs") / "m"
    arguments = ["train", *two_files(texts), *SMALL, "--epochs", "6", "--output", str(output)]
    assert cli.main([*arguments, "--keep-checkpoints", "2"]) == 0
    return sorted((output / "epochs").iterdir())


def test_compress_writes_a_model_that_translates(
    command: Command, model: Path, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "small.keras"

    found = command("compress", model, "--output", output)

    assert found.code == 0, found.err
    assert re.fullmatch(rf"{re.escape(str(output))}: \d+\.\d MB → \d+\.\d MB\n", found.out)
    assert list(tmp_path.iterdir()) == [output]
    translated = command("translate", output, texts / "val.en")
    assert len(translated.out.splitlines()) == 12
    again = command("compress", model, "--output", output)
    assert (again.code, again.out) == (1, "")
    assert f"`{output}` exists. Replace it (--force)" in one_line(again.err)
    twice = command("compress", output, "--output", tmp_path / "other.keras")
    assert "is compact already" in one_line(twice.err)
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.thorough
def test_average_writes_a_model(
    command: Command, epochs: list[Path], texts: Path, tmp_path: Path
) -> None:
    assert [file.name for file in epochs] == ["epoch-005.keras", "epoch-006.keras"]
    output = tmp_path / "mean.keras"

    found = command("average", *epochs, "--output", output)

    assert found == Answer(0, f"{output}: the mean of 2 models\n", "")
    assert list(tmp_path.iterdir()) == [output]
    translated = command("translate", output, texts / "val.en")
    assert len(translated.out.splitlines()) == 12
    again = command("average", epochs[0], "--output", output)
    assert (again.code, again.out) == (1, "")
    assert f"`{output}` exists. Replace it (--force)" in one_line(again.err)
    weighted = ["average", *epochs, "--weight", 1e9, "--weight", 1e-9, "--output", output]
    assert command(*weighted, "--force").code == 0
    # Nearly all of it is the first.
    assert (
        command("translate", output, texts / "val.en").out
        == command("translate", epochs[0], texts / "val.en").out
    )


@pytest.mark.thorough
def test_ensemble_is_decoded_together(
    command: Command, model: Path, epochs: list[Path], texts: Path
) -> None:
    def log_probs(*arguments: object) -> list[float]:
        found = command("score", *arguments, "--data", texts / "val.tsv")
        assert found.code == 0
        return [float(row[0]) for row in scored(found.out)]

    # A model with itself is itself.
    alone = log_probs(epochs[0])
    assert log_probs(epochs[0], "--ensemble", epochs[0]) == pytest.approx(alone, abs=1e-3)
    others = ["--ensemble", epochs[1]]
    mean = ["--ensemble-mean", "log_probabilities"]
    assert log_probs(epochs[0], *others) != log_probs(epochs[0], *others, *mean)
    translated = command("translate", epochs[0], texts / "val.en", *others, *mean)
    assert translated.code == 0
    assert len(translated.out.splitlines()) == 12
    line = failure(command, "translate", model, texts / "val.en", "--ensemble", texts / "val.en")
    assert "is not a model" in line


@pytest.mark.thorough
def test_unknown_words_come_from_the_source(command: Command, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "words"
    words = ["--tokenizer", "word", "--target-vocabulary-size", "5"]
    trained = command("train", *tsv(texts), *SMALL, *words, "--epochs", 3, "--output", output)
    assert trained.code == 0
    file = write(tmp_path / "in", ["red dog", "tree"])
    dictionary = write(tmp_path / "d.tsv", [f"{en}\t{de}" for en, de in LEXICON.items()])
    plain, copied, looked_up = (
        command("translate", output, file, *given).out
        for given in ([], ["--replace-unknown"], ["--dictionary", dictionary])
    )

    assert "⁇" in plain
    assert "⁇" not in copied + looked_up
    for before, after in zip(copied.split(), looked_up.split(), strict=True):
        assert after == LEXICON.get(before, before)
    assert set(copied.split()) & {"red", "dog", "tree"}


def test_minimum_bayes_risk_takes_the_output_most_like_the_others(
    command: Command, model: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "in", ["red cat", "", "big tree"])
    given = ("--beam", 6, "--scores")
    all_outputs = scored(command("translate", model, file, *given, "--n-best", 6).out)
    found = scored(command("translate", model, file, *given, "--mbr").out)
    several = scored(command("translate", model, file, *given, "--mbr", "--n-best", 2).out)

    assert len(found) == 3
    assert [row[0] for row in several] == ["1", "1", "2", "3", "3"]
    said = [text for number, _, text in all_outputs if number == "1"]
    utilities = expected_utilities(said)
    assert found[0] == [f"{max(utilities):.4f}", said[utilities.index(max(utilities))]]
    refused = command("translate", model, file, "--beam", 1, "--mbr")
    assert refused.code == 2
    assert "--mbr chooses among several outputs" in one_line(refused.err)


def test_explain_draws_a_picture(command: Command, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = command("explain", model, "red cat", "--output", tmp_path / "map.png")

    assert found.code == 0
    assert found.out == command("translate", model, write(tmp_path / "in", ["red cat"])).out
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_export_writes_what_is_verified(command: Command, model: Path, tmp_path: Path) -> None:
    for package in ("onnx", "tf2onnx", "onnxruntime"):
        pytest.importorskip(package)
    # A process of its own, for what TensorFlow says there.
    found = process("export", model, "--output", tmp_path / "x", "--name", "toy", "--version", 7)

    assert found.code == 0, found.err
    assert "Parity      passed" in found.out
    assert (tmp_path / "x" / "serving" / "toy" / "7" / "saved_model.pb").exists()
    assert (tmp_path / "x" / "onnx" / "model.onnx").exists()
    said = ("Writing", "Replaying", "Running", "Converting", "Translating", "Comparing", "Timing")
    assert all(line.startswith(said) for line in found.err.splitlines()), found.err

    again = command("export", model, "--output", tmp_path / "x", "--name", "toy")
    assert again.code == 1
    assert one_line(again.err).endswith("--force (force=True).")


def test_verify_prints_every_comparison_and_its_exit_code_tells(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_s2s import export
    from keras_s2s.export.parity.record import EXPECTED
    from keras_s2s.export.parity.report import Comparison, ParityReport

    (tmp_path / EXPECTED).touch()
    given: dict[str, Any] = {}

    def verify(folder: Path, **options: Any) -> ParityReport:
        given.update(options, folder=folder)
        found = Comparison("serving/m/1 beam (C API)", 7, 9, given.get("equal", 9))
        return ParityReport({"count": 9}, [found], {}, 0.0)

    monkeypatch.setattr(export, "verify_export", verify)

    passed = command("verify", tmp_path, "--server", "2.16")
    given["equal"] = 8
    failed = command("verify", tmp_path)

    assert (passed.code, failed.code) == (0, 1)
    assert given["folder"] == tmp_path
    assert "| serving/m/1 beam (C API) | 7 | 9 | 9 |  | passed |" in passed.out
    assert "| serving/m/1 beam (C API) | 7 | 9 | 8 |  | **failed** |" in failed.out
    assert "1 of 1 checks failed: serving/m/1 beam (C API) at batch 7" in one_line(failed.err)


# Help and argument errors.


def loaded_by(*arguments: object) -> tuple[int, set[str]]:
    """The exit code, and the heavy packages that were imported on the way."""
    code = (
        "import sys; from keras_s2s.cli.main import main; code = main(sys.argv[1:]); "
        "print('loaded:', *{name.split('.')[0] for name in sys.modules}); sys.exit(code)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    (loaded,) = [line for line in run.stdout.splitlines() if line.startswith("loaded:")]
    return run.returncode, HEAVY & set(loaded.split())


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("", 0),
        ("--help", 0),
        ("train --help", 0),
        ("train --output m --units 3 --data {tsv} --val-data {tsv}", 2),
        ("train --output {tsv} --data {tsv} --val-data {tsv}", 1),
        ("translate nothing", 1),
        ("verify nothing", 1),
    ],
)
def test_answers_without_tensorflow(texts: Path, arguments: str, code: int) -> None:
    given = arguments.format(tsv=texts / "train.tsv").split()

    assert loaded_by(*given) == (code, set())


def test_help_names_every_command(command: Command) -> None:
    found = command("--help")

    assert found.code == 0
    for name in (
        *("train", "average", "compress", "translate", "evaluate", "score", "explain", "export"),
        *("verify", "quickstart"),
    ):
        assert f" {name} " in found.out
        assert command(name, "--help").code == 0


def test_help_shows_every_option_in_full(command: Command) -> None:
    printed = command("train", "--help").out

    for field in fields(TrainingSettings):
        assert f"--{field.name.replace('_', '-')} " in printed


def test_options_of_train_have_the_defaults_of_its_settings() -> None:
    options = inspect.signature(cli.train).parameters

    for field in fields(TrainingSettings):
        if field.name not in ("output", "source_tokenizer"):
            assert options[field.name].default == field.default, field.name
    assert options["tokenizer"].default == "unigram"
    assert options["output"].default is inspect.Parameter.empty


def test_options_of_train_are_its_settings_and_those_of_the_command_line_alone() -> None:
    group = get_command(cli.app)
    options = {
        name: option
        for option in group.commands["train"].params  # type: ignore[attr-defined]
        for name in option.opts
    }
    alone = {"--tokenizer", "--vocabulary-size", "--hosts", "--host", "--resume", "--force"}

    assert set(options) == {each.option for each in declared(TrainingSettings).values()} | alone
    for name, option in options.items():
        # A sentence that stands alone, in a panel, with settings named as options.
        assert re.match(r"[A-Z].*\.$", option.help), name
        assert "`" not in option.help, name
        assert option.rich_help_panel, name


def test_every_option_of_every_command_has_a_sentence_of_help(command: Command) -> None:
    for name, each in get_command(cli.app).commands.items():  # type: ignore[attr-defined]
        for parameter in each.params:
            assert re.match(r"[A-Z].{10,}\.$", parameter.help or ""), (name, parameter.name)


@pytest.mark.parametrize(
    ("given", "source", "target"),
    [
        ("", ("unigram", 8000), ("unigram", 8000)),
        ("--tokenizer char", ("char", None), ("char", None)),
        ("--source-tokenizer char", ("char", None), ("unigram", 8000)),
        ("--tokenizer bpe --target-tokenizer word", ("bpe", 8000), ("word", None)),
        ("--vocabulary-size 90", ("unigram", 90), ("unigram", 90)),
        ("--vocabulary-size 90 --target-vocabulary-size 80", ("unigram", 90), ("unigram", 80)),
        ("--source-vocabulary-size 90", ("unigram", 90), ("unigram", 90)),
    ],
)
def test_an_option_for_both_sides_yields_to_that_of_one(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    texts: Path,
    given: str,
    source: tuple[str, int | None],
    target: tuple[str, int | None],
) -> None:
    seen: list[TrainingSettings] = []

    def stop(settings: TrainingSettings, **_: Any) -> None:
        seen.append(settings)
        raise OSError("seen")

    monkeypatch.setattr("keras_s2s.cli.train.check_output", stop)
    assert command("train", *tsv(texts), "--output", "m", *given.split()).code == 1
    (settings,) = seen
    assert source == (settings.source_tokenizer, settings.source_vocabulary_size)
    assert target == (settings.target_tokenizer, settings.target_vocabulary_size)


def one_line(err: str) -> str:
    """The error that is all that was said."""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--units 25", "--units must be even for a bidirectional encoder.*; got 25"),
        ("--batch-size 2 --batch-tokens 3", r"\(--batch-size\) or by ids \(--batch-tokens\)"),
        ("--tokenizer letters", "'letters' is not one of 'unigram', 'bpe', 'char', 'word'"),
        ("--attention luong", "'luong' is not one of 'dot', .*'none'"),
        ("--cell rnn", "'rnn' is not one of 'lstm', 'gru'"),
        ("--epochs many", "'--epochs': .*integer"),
        ("--epochs 0", "--epochs must be at least 1; got 0"),
        ("--source-vocabulary-size 0", "--source-vocabulary-size must be at least 5; got 0"),
        ("--vocabulary-size 4", "--source-vocabulary-size must be at least 5; got 4"),
        ("--dropout 1", "--dropout must be at least 0 and below 1; got 1.0"),
        ("--seed -1", "--seed must be at least 0"),
        ("--shared-vocabulary --target-tokenizer bpe", "one tokenizer for both sides"),
        ("--source nowhere.en", "nowhere.en.* does not exist"),
        ("--nonsense", "No such option: --nonsense"),
        ("--val-source {texts}/val.en", "got --val-source, --val-data"),
    ],
)
def test_argument_error_of_train_is_one_line(
    command: Command, texts: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    given = arguments.format(texts=texts).split()
    found = command("train", *tsv(texts), "--output", tmp_path / "m", *given)

    assert (found.code, found.out) == (2, "")
    assert re.search(message, one_line(found.err))
    assert found.err.endswith("See `keras-s2s train --help`.\n")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train", "Missing option '--output'"),
        ("translate", "Missing argument 'model'"),
        ("translate m --beam 2 --n-best 3", "--n-best can be at most --beam; got 3 and 2"),
        ("translate m --n-best 0", "Invalid value for '--n-best'"),
        ("translate m --batch-size 0", "Invalid value for '--batch-size'"),
        (
            "translate m --length-penalty -1",
            "--length-penalty must be a number from 0 on",
        ),
        ("evaluate m", "Give --source and --target, or only --data"),
        ("evaluate m --tokenize words", "'words' is not one of '13a', 'none'"),
        ("score m", "Give --source and --target, or only --data"),
        ("translate m --ensemble-mean probabilities", "--ensemble-mean needs --ensemble OTHER"),
        ("translate m --ensemble o --ensemble-mean median", "'median' is not one of"),
        ("translate m --dictionary none.tsv", "none.tsv' does not exist"),
        ("average", "Missing argument"),
        ("average m", "Missing option '--output'"),
        ("average m --output m.h5", "--output must be a .keras file in a folder that exists"),
        ("average m --output none/m.keras", "got none/m.keras"),
        ("average a b --weight 1 --output m.keras", "once for each model; got 1 for 2"),
        ("explain m text", "Missing option '--output'"),
        ("explain m text --output map.txt", "must end in one of .png, .svg, .pdf; got map.txt"),
        ("export m --output x --formats tflite", "--formats must be of serving, onnx and triton"),
        ("export m --output x --formats ", "requires an argument"),
        ("fly", "No such command 'fly'"),
    ],
)
def test_argument_error_is_one_line(command: Command, arguments: str, message: str) -> None:
    found = command(*arguments.split())

    assert (found.code, found.out) == (2, "")
    assert message in one_line(found.err)


# Bad input.


def failure(command: Command, *arguments: object) -> str:
    """The one line of an error that is not of the arguments."""
    found = command(*arguments)
    assert (found.code, found.out) == (1, "")
    assert "Traceback" not in found.err
    return one_line(found.err)


def test_text_that_cannot_be_used_is_named(command: Command, texts: Path, tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes("a\ngr\xfcn\n".encode("latin-1"))
    empty, blank = write(tmp_path / "empty", []), write(tmp_path / "blank", ["", " "])
    val = ["--val-data", texts / "val.tsv", "--output", tmp_path / "m", *SMALL]

    def trained_on(source: Path, target: Path) -> str:
        return failure(command, "train", "--source", source, "--target", target, *val)

    assert "has 60 lines and" in trained_on(texts / "train.en", texts / "val.de")
    assert f"No lines in `{empty}`" in trained_on(empty, empty)
    assert "no pair has text on both sides" in trained_on(blank, blank)
    latin = tmp_path / "latin"
    assert f"`{latin}` is not UTF-8: line 2, byte offset 4 is 0xfc" in trained_on(latin, latin)
    assert not list((tmp_path / "m").iterdir())


def test_vocabulary_larger_than_the_data_can_give_is_refused(
    command: Command, texts: Path, tmp_path: Path
) -> None:
    line = failure(command, "train", *tsv(texts), "--output", tmp_path, "--vocabulary-size", 9999)

    assert re.search(r"`vocabulary_size` must be at most \d+ for kind='unigram'", line)


def test_output_of_another_training_is_kept(command: Command, texts: Path, model: Path) -> None:
    before = (model / "translator.keras").read_bytes()

    line = failure(command, "train", *tsv(texts), *SMALL, "--output", model)

    assert "already holds translator.keras, settings.json, checkpoint" in line
    assert "--resume" in line
    assert "--force" in line
    assert (model / "translator.keras").read_bytes() == before


def test_output_that_cannot_be_written_is_refused(
    command: Command, texts: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "file", ["text"])
    given = ["train", *tsv(texts), *SMALL, "--output"]

    assert f"The output `{file}` is a file" in failure(command, *given, file)
    assert f"Cannot write to the output `{file}/m`" in failure(command, *given, file / "m")


def test_resume_is_refused_where_it_cannot_go_on(
    command: Command, texts: Path, model: Path, tmp_path: Path
) -> None:
    given = ["train", *two_files(texts), *SMALL, "--resume", "--output"]

    assert f"no training to resume in `{tmp_path}`" in failure(command, *given, tmp_path)
    assert "`depth` was 1 and is 2" in failure(command, *given, model, "--depth", 2)
    assert "Give only one." in failure(command, *given, model, "--force")


def test_path_that_is_no_model_is_refused(
    command: Command, texts: Path, model: Path, tmp_path: Path
) -> None:
    whole = (model / "translator.keras").read_bytes()
    (tmp_path / "short.keras").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    states = next((model / "checkpoint").glob("epoch-*")) / "model.keras"
    for path, message in (
        (tmp_path / "none", "There is no model at"),
        (tmp_path / "empty", "`translator.keras` is not there"),
        (texts / "val.en", "is not a model"),
        (tmp_path / "short.keras", "is cut short"),
        (states, "holds Seq2Seq, not a Translator"),
    ):
        for name, *rest in (
            ("translate", texts / "val.en"),
            ("evaluate", "--data", texts / "val.tsv"),
            ("score", "--data", texts / "val.tsv"),
            ("average", "--output", tmp_path / "mean.keras"),
            ("explain", "dog", "--output", tmp_path / "map.png"),
            ("export", "--output", tmp_path / "x"),
        ):
            assert message in failure(command, name, path, *rest)


def test_bad_input_of_translate_is_named(
    command: Command, model: Path, texts: Path, tmp_path: Path
) -> None:
    (tmp_path / "latin").write_bytes("gr\xfcn\n".encode("latin-1"))

    assert "not UTF-8: line 1" in failure(command, "translate", model, tmp_path / "latin")
    assert "No such file: `none`" in failure(command, "translate", model, "none")
    assert "Cannot read" in failure(command, "translate", model, tmp_path)
    found = command("translate", model, texts / "val.en", "--n-best", 9)
    assert (found.code, found.out) == (2, "")
    assert "--n-best must be at most --beam; got n_best=9, width=3" in one_line(found.err)


def test_evaluate_takes_several_references(command: Command, model: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "in", ["red cat", "dog"])
    said = command("translate", model, file).out.splitlines()
    wrong, right = write(tmp_path / "a", ["x", "y"]), write(tmp_path / "b", said)
    lines = [f"{a}\t{b}" for a, b in zip(["red cat", "dog"] * 2, ["x", "y", *said], strict=True)]
    both = write(tmp_path / "both.tsv", lines)

    found = command("evaluate", model, "--source", file, "--target", wrong, "--target", right)
    grouped = command("evaluate", model, "--data", both, "--output", tmp_path / "out")

    assert "exact match       100.00 % nrefs:2|" in found.out
    assert grouped.out == found.out
    assert (tmp_path / "out").read_text(encoding="utf-8").splitlines() == said


def test_train_keeps_the_epoch_with_the_best_decoded_metric(
    command: Command, texts: Path, tmp_path: Path
) -> None:
    found = command(
        *("train", *tsv(texts), *SMALL, "--epochs", 1, "--output", tmp_path / "m"),
        *("--monitor", "wer", "--monitor-sentences", 3, "--monitor-beam", 2),
    )

    assert found.code == 0
    assert re.search(r"best epoch 1 of 1, validation wer \d+\.\d\d%\n", found.out)
    assert "3 validation sources are decoded for wer" in " ".join(found.err.split())
    assert re.search(r"validation .* wer +\d+\.\d\d%", found.err)


def test_bad_input_of_evaluate_is_named(
    command: Command, model: Path, texts: Path, tmp_path: Path
) -> None:
    line = failure(
        command, "evaluate", model, "--source", texts / "val.en", "--target", texts / "train.de"
    )
    assert "has 12 lines and" in line
    empty = write(tmp_path / "empty", [])
    assert "No lines in" in failure(command, "evaluate", model, "--data", empty)


def test_output_of_evaluate_must_lie_in_a_folder(
    command: Command, model: Path, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "none" / "out"
    found = command("evaluate", model, "--data", texts / "val.tsv", "--output", output)

    assert (found.code, found.out) == (2, "")
    assert f"must lie in a folder that exists; got {output}" in one_line(found.err)


def test_brackets_in_a_name_are_text(command: Command, model: Path) -> None:
    assert "no model at `[red]x[/red]`" in failure(command, "translate", "[red]x[/red]")


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    for given in (["--debug", "translate", tmp_path], ["translate", tmp_path, "--debug"]):
        found = process(*given)
        assert found.code == 1
        assert "Traceback" in found.err
        assert "FileNotFoundError: There is no model at" in found.err


@pytest.mark.thorough
def test_reader_that_goes_away_is_no_error(model: Path, tmp_path: Path) -> None:
    code = "import sys; from keras_s2s.cli.main import main; sys.exit(main())"
    file = write(tmp_path / "in", ["red cat"] * 20)
    with subprocess.Popen(
        [sys.executable, "-c", code, "translate", str(model), str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""


@pytest.mark.thorough
def test_interrupted_training_names_the_way_on(
    command: Command, texts: Path, tmp_path: Path
) -> None:
    # As in a terminal: what a shell starts in the background is born deaf to SIGINT.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from keras_s2s.cli.main import main; sys.exit(main())"
    )
    arguments = [*tsv(texts), *SMALL, "--epochs", "999", "--patience", "999", "--output", "m"]
    with subprocess.Popen(
        [sys.executable, "-c", code, "train", *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        deadline = time.monotonic() + 120
        while not (tmp_path / "m" / "checkpoint" / "epoch-0002").exists():
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate()

    assert run.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    *lines, last = err.splitlines()
    assert last.startswith("interrupted; the same command with --resume goes on")
    # Nothing but the command's own lines: none of TensorFlow's.
    own = ("source vocabulary", "target vocabulary", "training:", "validation:", "batches:")
    assert all(line.startswith((*own, "model:", "epoch ")) for line in lines)

    begun = len([line for line in lines if line.startswith("epoch ")])
    given = ["train", *arguments[:-6], "--epochs", begun, "--output", tmp_path / "m"]
    resumed = command(*given, "--resume")
    assert resumed.code == 0
    # The state is written first, then the line.
    assert re.search(f"going on after epoch ({begun}|{begun + 1}),", resumed.err)


def test_broken_tensorflow_still_speaks(tmp_path: Path) -> None:
    """What a library says before it ends the process is passed on, notices are not."""
    (tmp_path / "keras.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 00:00:1795449537.335492   21896 port.cc:153] oneDNN is on.\\n')\n"
        "os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called\\n')\n"
        "os.write(2, b'F0000 00:00:1795449537.335492   21896 cpu.cc:1] needs AVX\\n')\n"
        "os.abort()\n",
        encoding="utf-8",
    )
    write(tmp_path / "t.tsv", ["a\tb"])
    found = process(
        *("train", "--data", tmp_path / "t.tsv", "--val-data", tmp_path / "t.tsv"),
        *("--output", tmp_path / "m"),
        env={"PYTHONPATH": str(tmp_path)},
    )

    assert found.code == -signal.SIGABRT
    assert found.err == "F0000 00:00:1795449537.335492   21896 cpu.cc:1] needs AVX\n"
