"""The quickstart, which trains, scores, exports, verifies and explains a model of dates."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from keras_s2s.recipes.dates import EXAMPLES, Pair, date_corpus
from keras_s2s.system.files import write_text
from keras_s2s.training import folder
from keras_s2s.training.settings.settings import TrainingSettings

if TYPE_CHECKING:
    from keras_s2s.translation.translator import Translator

TRAINING_PAIRS = 24_000
HELD_OUT_PAIRS = 2_000
EXPLAINED = "Thursday, July 4th, 1996"  # the date whose attention is plotted
GOAL = 0.99  # share of unseen dates that must come out exactly right


def run(
    output: Path, *, seed: int = 1, force: bool = False, console: Console | None = None
) -> float:
    """Generates dates, trains a model on them, scores it on unseen dates, and exports it.

    The model turns dates as people write them into ISO dates. `output` then holds the pairs in
    `data/`, `translator.keras`, the exports `serving/` and `onnx/`, their comparison with Keras
    `parity.json`, and the plot of an attention `attention.png`. No calendar
    day of the test pairs occurs in training.

    Args:
        output: folder that receives everything.
        seed: seed of the dates and of the training.
        force: whether to replace an earlier quickstart in `output`.
        console: console on which progress is printed; standard error when omitted.

    Returns:
        Share of unseen dates that come out exactly right.

    Raises:
        FileExistsError: If `output` holds an earlier run and `force` is not given.
        RuntimeError: If the share of right dates is below 0.99.
    """
    from keras_s2s.training import run as training
    from keras_s2s.translation.archive import load_translator

    console = console or Console(stderr=True)
    started = time.perf_counter()

    def say(text: str) -> None:
        console.print(f"[bold]{text}[/]  ({time.perf_counter() - started:.0f} s)", highlight=False)

    settings = _settings(output, seed)
    _check_free(output, force)
    folder.check_output(settings, resume=False, force=force)
    corpus = date_corpus(TRAINING_PAIRS, HELD_OUT_PAIRS, HELD_OUT_PAIRS, seed)
    (output / "data").mkdir(parents=True, exist_ok=True)
    for name, pairs in corpus._asdict().items():
        write_tsv(output / "data" / f"{name}.tsv", pairs)
    say(f"1/5  {len(corpus.train):,} dates to learn from, for example {corpus.train[0]}")

    result = training.train(settings, force=force, console=console)
    translator = load_translator(result.path)
    say(f"2/5  trained {result.parameters:,} parameters for {result.epochs} epochs")

    exact = _exact_match(translator, corpus.test)
    say(f"3/5  exact match on {len(corpus.test):,} unseen dates: {100 * exact:.2f} %")
    if exact < GOAL:
        raise RuntimeError(
            f"Only {100 * exact:.2f} % of the unseen dates came out right; expected at least "
            f"{100 * GOAL:.0f} %. Nothing was exported. Try another --seed."
        )

    console.print(_export(translator, output, corpus.test, force), highlight=False)
    say("4/5  exported to SavedModel and ONNX, both verified against Keras")

    say(f"5/5  attention of each output character: {_plot_attention(translator, output)}")
    _print_examples(translator)
    print(f"exact match on unseen dates: {100 * exact:.2f} %")
    return exact


def _settings(output: Path, seed: int) -> TrainingSettings:
    """Returns the settings of a small model of characters, which trains in minutes."""
    return TrainingSettings(
        output=str(output),
        data=str(output / "data" / "train.tsv"),
        val_data=str(output / "data" / "validation.tsv"),
        source_tokenizer="char",
        embedding_size=64,
        units=128,
        dropout=0.1,
        batch_size=64,
        epochs=8,
        patience=2,
        learning_rate=3e-3,
        learning_rate_decay=0.3,
        max_source_length=60,
        max_target_length=12,
        beam=3,
        seed=seed,
    )


def _check_free(output: Path, force: bool) -> None:
    """Raises FileExistsError at once if the export would raise it after minutes of training."""
    names = ("translator.keras", "settings.json", "checkpoint", "serving", "onnx")
    taken = [name for name in names if (output / name).exists()]
    if taken and not force:
        raise FileExistsError(
            f"The output `{output}` already holds {', '.join(taken)}. Replace it (--force), or "
            "name another folder (--output)."
        )


def _exact_match(translator: Translator, pairs: Sequence[Pair]) -> float:
    """Returns the share of texts whose output is exactly their ISO date."""
    outputs = translator([text for text, _ in pairs], batch_size=128)
    return sum(out == iso for out, (_, iso) in zip(outputs, pairs, strict=True)) / len(outputs)


def _export(translator: Translator, output: Path, pairs: Sequence[Pair], force: bool) -> str:
    """Exports to SavedModel and ONNX, and returns the report of the comparison with Keras."""
    from keras_s2s.export import export_translator

    sentences = [text for text, _ in pairs[:128]]
    report = export_translator(translator, output, name="dates", sentences=sentences, force=force)
    return str(report)


def _plot_attention(translator: Translator, output: Path) -> Path:
    """Plots the attention of each output character to a date's characters, and returns the file."""
    from keras_s2s.evaluation.plots import plot_alignment

    picture = output / "attention.png"
    title = f"{EXPLAINED} → {translator(EXPLAINED)}"
    plot_alignment(*translator.align(EXPLAINED), title=title, path=picture)
    return picture


def _print_examples(translator: Translator) -> None:
    """Prints the output for each example, with the right date beside a wrong output."""
    outputs = translator([text for text, _ in EXAMPLES])
    for (text, iso), out in zip(EXAMPLES, outputs, strict=True):
        print(f"{text:<32} → {out}" + ("" if out == iso else f"   (should be {iso})"))


def write_tsv(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Writes pairs as lines of `text<TAB>iso`."""
    write_text(path, "".join(f"{text}\t{iso}\n" for text, iso in pairs))
