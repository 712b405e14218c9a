"""The quickstart: the whole road on a task that needs no download, human dates to ISO dates."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from keras_s2s.recipes.dates import EXAMPLES, date_corpus
from keras_s2s.system.files import write_text
from keras_s2s.training import folder
from keras_s2s.training.settings.settings import TrainingSettings

TRAINING_PAIRS = 24_000
HELD_OUT_PAIRS = 2_000
EXPLAINED = "Thursday, July 4th, 1996"
GOAL = 0.99


def run(
    output: Path, *, seed: int = 1, force: bool = False, console: Console | None = None
) -> float:
    """Makes a corpus of dates, trains on it, scores unseen dates, exports, verifies and explains.

    `output` then holds `data/` (the pairs), `translator.keras`, `serving/`, `onnx/`, `parity.json`
    and `attention.png`. No calendar day of the test pairs occurs in training.

    Args:
        output: folder that receives everything.
        seed: of the dates and of the training.
        force: replace an earlier quickstart in `output`.
        console: where progress is printed; standard error when omitted.

    Returns:
        Share of unseen dates that come out exactly right.

    Raises:
        FileExistsError: if `output` holds an earlier run and `force` is not given.
        RuntimeError: if that share is below 0.99.
    """
    from keras_s2s.evaluation.plots import plot_alignment
    from keras_s2s.export import export_translator
    from keras_s2s.training import run as training
    from keras_s2s.translation.archive import load_translator

    console = console or Console(stderr=True)
    started = time.perf_counter()

    def say(text: str) -> None:
        console.print(f"[bold]{text}[/]  ({time.perf_counter() - started:.0f} s)", highlight=False)

    settings = TrainingSettings(
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

    outputs = translator([text for text, _ in corpus.test], batch_size=128)
    right = sum(out == iso for out, (_, iso) in zip(outputs, corpus.test, strict=True))
    exact = right / len(outputs)
    say(f"3/5  exact match on {len(outputs):,} unseen dates: {100 * exact:.2f} %")
    if exact < GOAL:
        raise RuntimeError(
            f"Only {100 * exact:.2f} % of the unseen dates came out right; expected at least "
            f"{100 * GOAL:.0f} %. Nothing was exported. Try another --seed."
        )

    sentences = [text for text, _ in corpus.test[:128]]
    report = export_translator(translator, output, name="dates", sentences=sentences, force=force)
    console.print(str(report), highlight=False)
    say("4/5  exported to SavedModel and ONNX, both verified against Keras")

    picture = output / "attention.png"
    plot_alignment(
        *translator.align(EXPLAINED), title=f"{EXPLAINED} → {translator(EXPLAINED)}", path=picture
    )
    say(f"5/5  what each output character looked at: {picture}")
    for (text, iso), out in zip(EXAMPLES, translator([text for text, _ in EXAMPLES]), strict=True):
        print(f"{text:<32} → {out}" + ("" if out == iso else f"   (should be {iso})"))
    print(f"exact match on unseen dates: {100 * exact:.2f} %")
    return exact


def _check_free(output: Path, force: bool) -> None:
    """Refuses what the training or, minutes later, the export would refuse."""
    made = ("translator.keras", "settings.json", "checkpoint", "serving", "onnx")
    taken = [name for name in made if (output / name).exists()]
    if taken and not force:
        raise FileExistsError(
            f"The output `{output}` already holds {', '.join(taken)}. Replace it (--force), or "
            "name another folder (--output)."
        )


def write_tsv(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Writes pairs as lines of `text<TAB>iso`."""
    write_text(path, "".join(f"{text}\t{iso}\n" for text, iso in pairs))
