"""Tests of a whole training: its files, its weights, and how it resumes."""

import dataclasses
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_s2s.data.reading import CorpusError
from keras_s2s.training import construction, progress
from keras_s2s.training import run as training
from keras_s2s.training.folder import check_output
from keras_s2s.training.retraces import RetraceWarning
from keras_s2s.training.run import TrainingResult, train
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.combination import average_translators, ensemble_translators

LEXICON = {"red": "rot", "dog": "Hund", "big": "groß", "cat": "Katze", "tree": "Baum"}
EPOCHS = 3


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 40 training and 10 validation pairs, as two files and as a TSV."""
    folder = tmp_path_factory.mktemp("texts")
    draw = random.Random(1)
    for name, count in (("train", 40), ("val", 10)):
        pairs = [draw.choices(list(LEXICON), k=draw.randint(1, 4)) for _ in range(count)]
        sources = [" ".join(words) for words in pairs]
        targets = [" ".join(LEXICON[word] for word in words) for words in pairs]
        write(folder / f"{name}.source", sources)
        write(folder / f"{name}.target", targets)
        write(folder / f"{name}.tsv", [f"{s}\t{t}" for s, t in zip(sources, targets, strict=True)])
    return folder


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def settings_for(texts: Path, output: Path, **given: Any) -> TrainingSettings:
    small: dict[str, Any] = {
        "output": output,
        "data": texts / "train.tsv",
        "val_data": texts / "val.tsv",
        "source_tokenizer": "char",
        "embedding_size": 6,
        "units": 8,
        "dropout": 0.2,
        "batch_size": 10,
        "epochs": EPOCHS,
        "learning_rate": 0.01,
        "max_source_length": 30,
        "max_target_length": 30,
        "beam": 2,
    }
    return TrainingSettings(**{**small, **given})


def run(settings: TrainingSettings, **given: Any) -> tuple[TrainingResult, str]:
    """The result, and what was printed."""
    printed = io.StringIO()
    return train(settings, console=Console(file=printed, width=40), **given), printed.getvalue()


class Trained(NamedTuple):
    output: Path
    result: TrainingResult
    printed: str


def weights_in(output: Path) -> list[np.ndarray]:
    return load_translator(output).get_weights()


def assert_same_weights(one: Path, other: Path) -> None:
    for ours, theirs in zip(weights_in(one), weights_in(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def trained(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training without a break."""
    output = tmp_path_factory.mktemp("whole") / "out"
    return Trained(output, *run(settings_for(texts, output)))


@pytest.fixture(scope="module")
def whole(trained: Trained) -> Path:
    """Its output."""
    return trained.output


def test_training_lowers_the_loss_and_keeps_the_best_epoch(trained: Trained) -> None:
    result = trained.result

    perplexities = [epoch["val_perplexity"] for epoch in result.history]
    assert perplexities[-1] < perplexities[0]
    assert result.best == min(perplexities)
    assert result.best_epoch == 1 + perplexities.index(min(perplexities))
    assert result.epochs == len(perplexities) == EPOCHS
    assert result.parameters == load_translator(result.path).count_params()


def test_training_prints_what_it_reads_and_a_line_for_each_epoch(trained: Trained) -> None:
    lines = trained.printed.splitlines()

    assert lines[0] == "source vocabulary: 15 ids (char)"
    assert lines[2].startswith("training: 40 of 40 pairs kept (0 empty, 0 too long)")
    assert sum(line.startswith("epoch ") for line in lines) == EPOCHS


def test_every_setting_of_the_model_reaches_it(texts: Path, tmp_path: Path) -> None:
    vectors = write(tmp_path / "vectors.txt", ["red 1 2 3 4 5 6", "Hund 6 5 4 3 2 1"])
    settings = settings_for(
        texts,
        tmp_path / "out",
        source_tokenizer="word",
        shared_vocabulary=True,
        shared_embedding=True,
        tied_embedding=True,
        source_embeddings=vectors,
        attention="coverage",
        probability="sparsemax",
        input_feeding=True,
        depth=2,
        bidirectional=False,
        residual=True,
        layer_norm=True,
        recurrent_dropout=0.1,
        embedding_dropout=0.2,
        word_dropout=0.3,
        target_word_dropout=0.4,
        epochs=1,
        learning_rate=1e-6,  # so that the embedding stays where it began
    )
    result, printed = run(settings)
    assert "source embedding: 2 of" in printed

    translator = load_translator(result.path)
    encoder, decoder = translator.model.encoder, translator.model.decoder
    for part in (encoder, decoder):
        assert part.residual
        assert part.layer_norm
        assert (part.recurrent_dropout, part.embedding_dropout) == (0.1, 0.2)
    assert (encoder.word_dropout, decoder.word_dropout) == (0.3, 0.4)
    assert decoder.input_feeding
    assert decoder.tied_embedding
    assert decoder.embedding is encoder.embedding
    assert type(decoder.attention.score).__name__ == "CoverageScore"
    assert type(decoder.attention.probability).__name__ == "Sparsemax"
    ((_, red),) = translator.source_tokenizer.encode(["dog red"])
    np.testing.assert_allclose(encoder.get_weights()[0][red], [1, 2, 3, 4, 5, 6], atol=1e-3)
    assert isinstance(translator("red dog"), str)


@pytest.mark.thorough
def test_tokenizers_are_taken_from_another_translator(
    whole: Path, texts: Path, tmp_path: Path
) -> None:
    file = whole / "translator.keras"
    other = write(tmp_path / "other.tsv", ["a cat\teine Katze", "dog\tHund"] * 20)
    given: dict[str, Any] = {"data": other, "tokenizers_from": file, "epochs": 1}
    result, _ = run(settings_for(texts, tmp_path / "out", **given))

    old, new = load_translator(file), load_translator(result.path)
    assert new.source_tokenizer == old.source_tokenizer
    assert new.target_tokenizer == old.target_tokenizer
    assert isinstance(ensemble_translators([old, new])("red dog"), str)

    wrong: list[tuple[dict[str, Any], str]] = [
        (
            {"target_tokenizer": "word"},
            r"target tokenizer of `.*` is char with 20 ids; .* say word with all\. Set both",
        ),
        ({"source_vocabulary_size": 14}, "is char with 15 ids; .* say char with 14"),
        ({"shared_vocabulary": True}, "`shared_vocabulary` asks for one. Leave it out"),
    ]
    for changes, message in wrong:
        with pytest.raises(ValueError, match=message):
            run(settings_for(texts, tmp_path / "none", **given, **changes))
    assert not any((tmp_path / "none").iterdir())


@pytest.mark.thorough
def test_one_tokenizer_is_taken_for_both_sides(texts: Path, tmp_path: Path) -> None:
    shared: dict[str, Any] = {"shared_vocabulary": True, "shared_embedding": True, "epochs": 1}
    first, _ = run(settings_for(texts, tmp_path / "one", **shared))
    second, _ = run(settings_for(texts, tmp_path / "two", **shared, tokenizers_from=first.path))

    assert_same_weights(first.path, second.path)  # the same lines would have made it


def test_output_holds_what_the_documentation_says(whole: Path) -> None:
    found = {path.name for path in whole.iterdir()}

    assert found == {"translator.keras", "settings.json", "history.json", "checkpoint"}
    assert {path.name for path in (whole / "checkpoint").iterdir()} == {
        "tokenizers.json",
        f"epoch-{EPOCHS:04d}",
    }
    assert len(json.loads((whole / "history.json").read_text(encoding="utf-8"))) == EPOCHS


def test_saved_translator_holds_no_optimizer(whole: Path) -> None:
    import h5py

    def groups(file: Path) -> set[str]:
        found: set[str] = set()
        with (
            zipfile.ZipFile(file) as archive,
            archive.open("model.weights.h5") as stream,
            h5py.File(stream) as weights,
        ):
            weights.visit(found.add)
        return found

    states = next((whole / "checkpoint").glob("epoch-*")) / "model.keras"
    assert any("optimizer" in name for name in groups(states))
    assert not any("optimizer" in name for name in groups(whole / "translator.keras"))
    assert not load_translator(whole).model.compiled


def test_recorded_settings_repeat_the_run(whole: Path, texts: Path, tmp_path: Path) -> None:
    record = json.loads((whole / "settings.json").read_text(encoding="utf-8"))
    # The same text in the other form.
    files = {
        "source": str(texts / "train.source"),
        "target": str(texts / "train.target"),
        "data": None,
    }

    run(TrainingSettings(**{**record, **files, "output": str(tmp_path)}))

    assert_same_weights(whole, tmp_path)


def kill_in_batch(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """A kill in the middle of an epoch."""
    last = progress.ProgressBar.on_train_batch_end

    def on_train_batch_end(bar: Any, batch: int, logs: Any = None) -> None:
        last(bar, batch, logs)
        if batch == 1 and f"epoch {epoch}/" in bar.console.file.getvalue():
            raise Killed

    monkeypatch.setattr(progress.ProgressBar, "on_train_batch_end", on_train_batch_end)


def kill_in_save(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """A kill after the first half of an epoch's state."""
    save = keras.Model.save

    def half(model: keras.Model, path: Path, **given: Any) -> None:
        save(model, path, **given)
        if path.parent.name == f".tmp-epoch-{epoch:04d}":
            os.truncate(path, path.stat().st_size // 2)
            raise Killed

    monkeypatch.setattr(keras.Model, "save", half)


def killed_and_resumed(
    settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch
) -> tuple[TrainingResult, str]:
    """A run killed in the second epoch's save, and taken up again with other random seeds set."""
    kill_in_save(monkeypatch, 2)
    with pytest.raises(Killed):
        run(settings)
    monkeypatch.undo()
    keras.utils.set_random_seed(12345)
    return run(settings, resume=True)


def kill_in_best(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """A kill after the first half of the translator with the best weights so far."""
    save, saved = keras.Model.save, []

    def half(model: keras.Model, path: Path, **given: Any) -> None:
        save(model, path, **given)
        saved.append(path.name)
        if sum(name.endswith("-translator.keras") for name in saved) == epoch:
            os.truncate(path, path.stat().st_size // 2)
            raise Killed

    monkeypatch.setattr(keras.Model, "save", half)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("kill", "epoch"),
    [
        (kill_in_batch, 1),
        (kill_in_save, 2),
        (kill_in_best, 3),
    ],
)
def test_resumed_training_ends_with_the_weights_of_one_without_a_break(
    texts: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill: Any,
    epoch: int,
) -> None:
    settings = settings_for(texts, tmp_path / "out")
    kill(monkeypatch, epoch)
    stream = io.StringIO()
    with pytest.raises(Killed):
        train(settings, console=Console(file=stream, force_terminal=True))
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
    monkeypatch.undo()
    keras.utils.set_random_seed(12345)  # another process would not be where this one is

    _, printed = run(settings, resume=True)

    # No more than the epoch of the kill is done again.
    assert sum(line.startswith("epoch ") for line in printed.splitlines()) == EPOCHS - epoch + 1
    assert_same_weights(whole, tmp_path / "out")
    for name in ("settings.json", "history.json"):
        ours, theirs = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for folder in (tmp_path / "out", whole)
        )
        if name == "settings.json":
            ours["output"] = theirs["output"]
        assert ours == theirs
    assert not list((tmp_path / "out").rglob(".tmp-*"))


# What a resumed run must take up besides the weights.
STATEFUL: dict[str, Any] = {
    "label_smoothing": 0.1,
    "learning_rate_schedule": "inverse_sqrt",
    "warmup_steps": 6,
    "weight_decay": 0.01,
    "moving_average": 0.9,
    "recurrent_dropout": 0.1,
    "word_dropout": 0.1,
    "monitor": "chrf",
    "monitor_sentences": 4,
    "target_tokenizer": "bpe",
    "target_vocabulary_size": 24,
    "subword_sampling": 0.3,
}


@pytest.fixture(scope="module")
def stateful(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A training with all of them, without a break."""
    output = tmp_path_factory.mktemp("stateful") / "out"
    return Trained(output, *run(settings_for(texts, output, **STATEFUL)))


def test_the_best_epoch_is_that_of_the_decoded_metric(stateful: Trained) -> None:
    values = [epoch["val_chrf"] for epoch in stateful.result.history]

    best = 1 + values.index(max(values))
    assert (stateful.result.best, stateful.result.best_epoch) == (max(values), best)
    assert "\nchrf: nrefs:1|case:mixed|" in stateful.printed


@pytest.mark.thorough
def test_every_stateful_option_is_resumed_to_the_bit(
    texts: Path, stateful: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(texts, tmp_path / "out", **STATEFUL)

    result, _ = killed_and_resumed(settings, monkeypatch)

    assert result.history == stateful.result.history
    assert_same_weights(stateful.output, tmp_path / "out")


@pytest.mark.thorough
def test_another_process_repeats_the_run_to_the_bit(
    texts: Path, stateful: Trained, tmp_path: Path
) -> None:
    """Also what libraries salt with a number of the process: hashes, generators."""
    settings = settings_for(texts, tmp_path / "out", **STATEFUL)
    code = (
        "import sys, json; from keras_s2s.training.settings.settings import TrainingSettings; "
        "from keras_s2s.training.run import train; "
        "train(TrainingSettings(**json.loads(sys.argv[1])))"
    )
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(dataclasses.asdict(settings))],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        stderr=subprocess.DEVNULL,
        timeout=300,
        check=True,
    )

    written = (tmp_path / "out" / "history.json").read_text(encoding="utf-8")
    assert json.loads(written) == stateful.result.history
    assert_same_weights(stateful.output, tmp_path / "out")


@pytest.mark.thorough
def test_training_on_a_sample_of_the_vocabulary_is_resumed_to_the_bit(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = {"sampled_softmax": 5, "target_tokenizer": "word"}
    whole, _ = run(settings_for(texts, tmp_path / "whole", **sampled))
    assert {"loss", "val_perplexity"} <= set(whole.history[0])
    assert not {"perplexity", "accuracy"} & set(whole.history[0])
    settings = settings_for(texts, tmp_path / "out", **sampled)

    result, printed = killed_and_resumed(settings, monkeypatch)

    assert result.history == whole.history
    assert "validation  loss" in printed
    assert_same_weights(tmp_path / "whole", tmp_path / "out")


@pytest.mark.thorough
def test_training_of_two_passes_is_resumed_to_the_bit(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = {"r_drop": 5.0, "dropout": 0.4, "label_smoothing": 0.1}
    whole, _ = run(settings_for(texts, tmp_path / "whole", **twice))
    once, _ = run(settings_for(texts, tmp_path / "once", **{**twice, "r_drop": 0.0}))
    assert set(whole.history[0]) == set(once.history[0])
    assert whole.history[0]["loss"] > once.history[0]["loss"]
    settings = settings_for(texts, tmp_path / "out", **twice)

    result, _ = killed_and_resumed(settings, monkeypatch)

    assert result.history == whole.history
    assert_same_weights(tmp_path / "whole", tmp_path / "out")


def test_a_sample_larger_than_the_words_there_are_is_refused_before_anything_is_written(
    texts: Path, tmp_path: Path
) -> None:
    settings = settings_for(texts, tmp_path / "out", sampled_softmax=50, target_tokenizer="word")
    with pytest.raises(ValueError, match=r"`samples` must be at most .* 9; got samples=50"):
        run(settings)
    assert not (tmp_path / "out" / "settings.json").exists()


def test_batches_of_few_shapes_are_counted_and_train_on_the_same_pairs(
    texts: Path, trained: Trained, tmp_path: Path
) -> None:
    settings = settings_for(texts, tmp_path / "out", length_multiple=8, epochs=1)
    result, printed = run(settings)

    (line,) = [line for line in printed.splitlines() if line.startswith("batches: ")]
    found = re.fullmatch(r"batches: (\d+) in an epoch of (\d+) shapes; ([\d.]+)% of .*", line)
    assert found
    batches, shapes, padding = map(float, found.groups())
    assert shapes < batches
    assert " shapes" not in trained.printed
    plain = float(re.search(r"; ([\d.]+)% of their ids are padding", trained.printed)[1])
    assert padding > plain
    assert np.isfinite(result.best)
    assert "traced" not in printed


@pytest.mark.thorough
def test_a_training_that_traces_too_often_says_so_once(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "RetraceWarning", partial(RetraceWarning, limit=1))
    made = training.ProgressBar.on_train_batch_end

    def anew(bar: Any, batch: int, logs: Any = None) -> None:
        bar.model.make_train_function(force=True)
        made(bar, batch, logs)

    monkeypatch.setattr(training.ProgressBar, "on_train_batch_end", anew)
    _, printed = run(settings_for(texts, tmp_path / "out", epochs=2))
    assert printed.count("The training step was traced 2 times in 2 steps of this epoch") == 1


@pytest.mark.thorough
def test_ids_on_disk_train_to_the_same_weights(texts: Path, whole: Path, tmp_path: Path) -> None:
    settings = settings_for(texts, tmp_path / "out", ids_on_disk=True, epochs=2)
    run(settings)
    # Where the ids lie may change when a training goes on.
    run(settings_for(texts, tmp_path / "out"), resume=True)

    assert_same_weights(whole, tmp_path / "out")


@pytest.mark.thorough
def test_bfloat16_trains_and_leaves_a_float32_translator(texts: Path, tmp_path: Path) -> None:
    settings = settings_for(texts, tmp_path / "out", precision="bfloat16", moving_average=0.9)

    model = construction.make_model(settings, *construction.make_tokenizers(settings))
    layers = [each for each in model._flatten_layers() if each.weights]
    assert {each.dtype_policy.name for each in layers} == {"mixed_bfloat16"}

    result, _ = run(settings)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    translator = load_translator(result.path)
    saved = list(translator.model._flatten_layers())
    assert {each.compute_dtype for each in saved} == {"float32"}
    assert {each.dtype for each in translator.model.weights} <= {"float32", "uint32", "int32"}

    run(dataclasses.replace(settings, output=str(tmp_path / "broken"), epochs=1))
    resumed = dataclasses.replace(settings, output=str(tmp_path / "broken"))
    assert run(resumed, resume=True)[0].history == result.history


def test_inputs_start_with_a_variance_of_one_but_pretrained_vectors_come_in_as_they_are(
    texts: Path, tmp_path: Path
) -> None:
    def scales(**given: Any) -> tuple[float, float]:
        settings = settings_for(texts, tmp_path, embedding_size=16, **given)
        model = construction.make_model(settings, *construction.make_tokenizers(settings))
        return model.encoder.embedding_scale, model.decoder.embedding_scale

    vectors = tmp_path / "vectors.txt"
    vectors.write_text("a " + " ".join(["0.5"] * 16) + "\n", encoding="utf-8")
    assert scales() == (4, 4)
    assert scales(source_embeddings=str(vectors)) == (1, 4)
    assert scales(target_embeddings=str(vectors)) == (4, 1)
    one = {"shared_vocabulary": True, "shared_embedding": True}
    assert scales(**one, source_embeddings=str(vectors)) == (1, 1)


def test_a_precision_that_there_is_not_is_refused(texts: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`precision` must be one of float32, bfloat16"):
        settings_for(texts, tmp_path, precision="float16")


def test_optimizer_and_loss_are_those_of_the_settings(texts: Path, tmp_path: Path) -> None:
    def compiled(**given: Any) -> keras.Model:
        settings = settings_for(texts, tmp_path, **given)
        return construction.make_model(settings, *construction.make_tokenizers(settings))

    plain = compiled(clip_norm=0.5).optimizer
    assert (float(plain.learning_rate), plain.global_clipnorm) == (pytest.approx(0.01), 0.5)
    assert (plain.weight_decay, plain.use_ema) == (None, False)

    model = compiled(**STATEFUL)
    assert model.loss.label_smoothing == 0.1
    assert (model.optimizer.weight_decay, model.optimizer.ema_momentum) == (0.01, 0.9)
    assert model.optimizer.use_ema
    assert model.optimizer._learning_rate.get_config() == {
        "learning_rate": 0.01,
        "warmup_steps": 6,
    }
    falling = {"decay_steps": 5, "warmup_steps": 2, "learning_rate_decay": 0.3}
    exponential = compiled(learning_rate_schedule="exponential", **falling).optimizer
    assert exponential._learning_rate.get_config() == {
        "learning_rate": 0.01,
        "decay_rate": 0.3,
        "decay_steps": 5,
        "warmup_steps": 2,
        "minimum": 0.0,
    }


def test_a_constant_rate_stays(texts: Path, tmp_path: Path) -> None:
    given = {"learning_rate_schedule": "constant", "learning_rate": 1.0, "clip_norm": 1e3}
    result, _ = run(settings_for(texts, tmp_path, **given))

    assert any(e["val_perplexity"] > result.best for e in result.history[1:])
    assert {epoch["learning_rate"] for epoch in result.history} == {1.0}


def kill_in_epoch_file(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """A kill after the first half of the file that an epoch leaves."""
    save = keras.Model.save

    def half(model: keras.Model, path: Path, **given: Any) -> None:
        save(model, path, **given)
        if path.name.endswith(f"epoch-{epoch:03d}.keras"):
            os.truncate(path, path.stat().st_size // 2)
            raise Killed

    monkeypatch.setattr(keras.Model, "save", half)


@pytest.mark.thorough
@pytest.mark.parametrize("kill", [None, kill_in_save, kill_in_epoch_file])
def test_last_epochs_leave_translators_to_average(
    texts: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: Any
) -> None:
    settings = settings_for(texts, tmp_path / "out", keep_checkpoints=2)
    if kill is not None:
        kill(monkeypatch, 3)
        with pytest.raises(Killed):
            run(settings)
        monkeypatch.undo()
    result, _ = run(settings, resume=kill is not None)

    epochs = tmp_path / "out" / "epochs"
    assert sorted(file.name for file in epochs.iterdir()) == [
        "epoch-002.keras",
        "epoch-003.keras",
    ]
    assert result.best_epoch == EPOCHS
    # Keeping them changes nothing else, and the best epoch's file is that epoch's.
    assert_same_weights(whole, tmp_path / "out")
    assert_same_weights(epochs / "epoch-003.keras", whole)
    average = average_translators(sorted(epochs.iterdir()))
    for mean, ours, theirs in zip(
        average.get_weights(), *(weights_in(file) for file in sorted(epochs.iterdir())), strict=True
    ):
        np.testing.assert_allclose(mean, (ours + theirs) / 2, atol=1e-7)  # of weights up to 1


@pytest.mark.thorough
def test_forced_training_removes_the_epochs_of_the_last(texts: Path, tmp_path: Path) -> None:
    run(settings_for(texts, tmp_path, keep_checkpoints=1, epochs=1))
    run(settings_for(texts, tmp_path, epochs=1), force=True)
    assert not (tmp_path / "epochs").exists()


@pytest.mark.thorough
def test_killed_process_can_be_resumed(texts: Path, whole: Path, tmp_path: Path) -> None:
    settings = settings_for(texts, tmp_path / "out", epochs=1000, patience=1000)
    code = (
        "import sys, json; from keras_s2s.training.settings.settings import TrainingSettings; "
        "from keras_s2s.training.run import train; "
        "train(TrainingSettings(**json.loads(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, json.dumps(dataclasses.asdict(settings))]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "out" / "checkpoint" / "epoch-0002").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)

    done = json.loads(
        max((tmp_path / "out" / "checkpoint").glob("epoch-*/progress.json")).read_text(
            encoding="utf-8"
        )
    )["epoch"]
    result, _ = run(dataclasses.replace(settings, epochs=done + 1), resume=True)

    assert result.epochs == done + 1
    expected = json.loads((whole / "history.json").read_text(encoding="utf-8"))
    assert result.history[:EPOCHS] == expected[: done + 1]


def test_finished_training_has_nothing_to_resume(texts: Path, whole: Path) -> None:
    before = (whole / "translator.keras").stat().st_mtime_ns

    result, printed = run(settings_for(texts, whole), resume=True)

    assert "nothing left to train" in printed
    assert result.epochs == EPOCHS
    assert (whole / "translator.keras").stat().st_mtime_ns == before


@pytest.mark.thorough
def test_stopped_training_goes_on_with_more_patience(texts: Path, tmp_path: Path) -> None:
    # The rate is too small to change a weight, so no epoch is better than the first.
    options: dict[str, Any] = {"learning_rate": 1e-30, "dropout": 0.0, "epochs": 9}
    first, _ = run(settings_for(texts, tmp_path, **options, patience=1))
    second, _ = run(settings_for(texts, tmp_path, **options, patience=3), resume=True)

    assert (first.epochs, first.best_epoch) == (2, 1)
    assert (second.epochs, second.best_epoch) == (4, 1)
    assert second.history[:2] == first.history


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"units": 10}, "`units` was 8 and is 10"),
        ({"seed": 2, "dropout": 0.1}, "`dropout` was 0.2 and is 0.1; `seed` was 1 and is 2"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    texts: Path, whole: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(settings_for(texts, whole, **changed), resume=True)


def test_a_training_from_before_a_setting_existed_goes_on_with_its_default(
    texts: Path, tmp_path: Path
) -> None:
    record = dataclasses.asdict(settings_for(texts, tmp_path))
    del record["precision"]
    (tmp_path / "settings.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "tokenizers.json").touch()
    check_output(settings_for(texts, tmp_path), resume=True, force=False)
    with pytest.raises(ValueError, match="`precision` was 'float32' and is 'bfloat16'"):
        check_output(settings_for(texts, tmp_path, precision="bfloat16"), resume=True, force=False)


def test_resuming_without_a_training_is_refused(texts: Path, tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "nothing", write(tmp_path / "file", ["text"])):
        with pytest.raises(ValueError, match="no training to resume"):
            run(settings_for(texts, output), resume=True)


def test_resuming_without_the_checkpoint_is_refused(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(
        json.dumps(dataclasses.asdict(settings_for(texts, tmp_path))), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="its checkpoint/ is gone"):
        run(settings_for(texts, tmp_path), resume=True)


def test_resuming_from_unreadable_settings_is_refused(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"settings\.json` cannot be read"):
        run(settings_for(texts, tmp_path), resume=True)


def test_resume_and_force_exclude_each_other(texts: Path, whole: Path) -> None:
    with pytest.raises(ValueError, match="Give only one"):
        run(settings_for(texts, whole), resume=True, force=True)


@pytest.mark.parametrize("name", ["translator.keras", "settings.json", "checkpoint"])
def test_output_that_holds_a_training_is_refused(texts: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "checkpoint" else (tmp_path / name).touch()

    with pytest.raises(FileExistsError, match=f"already holds {name}.*--resume.*--force"):
        run(settings_for(texts, tmp_path))


def test_force_replaces_a_training_and_nothing_else(
    texts: Path, whole: Path, tmp_path: Path
) -> None:
    for name in ("settings.json", "translator.keras", ".tmp-1-settings.json", "notes.txt"):
        write(tmp_path / name, ["earlier"])
    (tmp_path / "checkpoint" / "epoch-0009").mkdir(parents=True)

    result, _ = run(settings_for(texts, tmp_path, epochs=1, seed=2), force=True)

    names = ["checkpoint", "history.json", "notes.txt", "settings.json", "translator.keras"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert [path.name for path in (tmp_path / "checkpoint").glob("epoch-*")] == ["epoch-0001"]
    first = json.loads((whole / "history.json").read_text(encoding="utf-8"))[0]
    assert result.history[0]["loss"] != first["loss"], "another seed gives another training"


def test_mistake_in_the_data_costs_no_earlier_training(
    texts: Path, whole: Path, tmp_path: Path
) -> None:
    before = weights_in(whole)
    empty = write(tmp_path / "empty.tsv", [])

    for mistake, message in (
        ({"data": empty}, "No lines"),
        ({"val_data": empty}, "No lines"),
        ({"source_vocabulary_size": 99}, "must be at most"),
    ):
        with pytest.raises(ValueError, match=message):
            run(settings_for(texts, whole, **mistake), force=True)

    for ours, theirs in zip(weights_in(whole), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_output_that_cannot_be_written_is_refused_first(texts: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "file", ["text"])

    with pytest.raises(FileExistsError, match="is a file"):
        run(settings_for(texts, file))
    with pytest.raises(
        OSError, match=r"Cannot write to the output `.*file/below`: Not a directory"
    ):
        run(settings_for(texts, file / "below"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"", r"No lines in `.*bad\.tsv`"),
        (b"\n \t \n\n", "3 lines in .* no pair has text on both sides"),
        (b"a\tb\n\xff\tc\n", r"`.*bad\.tsv` is not UTF-8: line 2"),
        (b"a b c\n", r"bad\.tsv`, line 1: expected 2 columns"),
        (b"a" * 99 + b"\tb\n", "all 1 pairs with text are longer than max_source_length=30"),
    ],
)
@pytest.mark.parametrize("side", ["data", "val_data"])
def test_text_that_cannot_be_used_is_refused(
    texts: Path, tmp_path: Path, side: str, lines: bytes, message: str
) -> None:
    (tmp_path / "bad.tsv").write_bytes(lines)

    with pytest.raises(CorpusError, match=message):
        run(settings_for(texts, tmp_path / "out", **{side: tmp_path / "bad.tsv"}))
    assert not list((tmp_path / "out").iterdir())


def test_files_of_different_lengths_are_refused(texts: Path, tmp_path: Path) -> None:
    files = {"source": texts / "train.source", "target": texts / "val.target", "data": None}

    with pytest.raises(CorpusError, match=r"has 40 lines and `.*val\.target` has 10"):
        run(settings_for(texts, tmp_path, **files))


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [("unigram", "must be at most [0-9]+ for kind='unigram'"), ("word", "must be at most 9")],
)
def test_vocabulary_larger_than_the_data_can_give_is_refused(
    texts: Path, tmp_path: Path, tokenizer: str, message: str
) -> None:
    options = {"source_tokenizer": tokenizer, "source_vocabulary_size": 5000}

    with pytest.raises(ValueError, match=message):
        run(settings_for(texts, tmp_path, **options))


def test_long_pairs_are_left_out_and_counted(texts: Path, tmp_path: Path) -> None:
    lines = (texts / "train.tsv").read_text(encoding="utf-8").splitlines()
    data = write(tmp_path / "long.tsv", [*lines, "dog " * 20 + "\tHund", "\tnothing"])
    printed = io.StringIO()

    with pytest.raises(CorpusError, match="No such file"):
        train(
            settings_for(texts, tmp_path / "out", data=data, val_data=tmp_path / "none"),
            console=Console(file=printed),
        )

    assert "training: 40 of 42 pairs kept (1 empty, 1 too long)" in printed.getvalue()


def test_translator_is_saved_with_the_search_of_the_settings(whole: Path) -> None:
    translator = load_translator(whole)

    assert translator.search.get_config()["width"] == 2
    assert translator.search.max_length == 30
    assert translator.max_source_length == 30


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "options",
    [
        {
            "attention": "none",
            "cell": "lstm",
            "depth": 2,
            "bidirectional": False,
            "shared_vocabulary": True,
        },
        {
            "attention": "dot",
            "reverse_source": True,
            "batch_size": None,
            "batch_tokens": 200,
            "source_tokenizer": "bpe",
            "source_vocabulary_size": 30,
            "target_tokenizer": "word",
            "target_vocabulary_size": 8,
        },
    ],
)
def test_other_kinds_of_model_train_and_translate(
    texts: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    result, _ = run(settings_for(texts, tmp_path, epochs=1, **options))

    translator = load_translator(result.path)
    assert [type(output) for output in translator(["red dog", "cat"])] == [str, str]
    shared = options.get("shared_vocabulary", False)
    assert (translator.source_tokenizer == translator.target_tokenizer) == shared


def test_divergence_is_an_error_that_names_the_way_out(texts: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"diverged.*Lower `learning_rate` \(it was 1e\+30\)"):
        run(settings_for(texts, tmp_path, learning_rate=1e30))

    assert not (tmp_path / "translator.keras").exists()
