"""What a recipe scores of a translator: its outputs on the test text, and their metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keras_s2s.data.reading import read_references
from keras_s2s.evaluation.metrics import METRICS
from keras_s2s.recipes.recipe import Evaluation
from keras_s2s.system.files import write_lines


def evaluate(
    evaluation: Evaluation, run: str, translator: Any, data: Path, folder: Path
) -> dict[str, Any]:
    """Decodes a test text, writes the outputs, and computes the metrics.

    Args:
        evaluation: which text, decoded how, and which metrics.
        run: name of the run, where file names have `{run}`.
        translator: a `Translator`.
        data: folder that the file names start from.
        folder: receives `NAME.out`, a line for each source, and `NAME.int8.out`.

    Returns:
        What `results.json` holds of it: name, number of sentences, search, scores with signatures,
        those of the int8 model (None where none was asked for), and scores by source length.
    """
    files = [data / name for name in evaluation.files(run)]
    if evaluation.data is not None:
        sources, references = read_references(data=files[0])
    else:
        sources, references = read_references(files[0], files[1:])
    changes = {"width": evaluation.beam, "length_penalty": evaluation.length_penalty}
    given = {name: value for name, value in changes.items() if value is not None}
    translator = translator.with_model(translator.model)  # so that others keep their search
    translator.search = translator.search.like(**given)
    name = evaluation.name.replace(" ", "-")
    outputs = _written(translator(sources, batch_size=64), folder / f"{name}.out")
    int8 = None
    if evaluation.int8:
        from keras_s2s.export.onnx.files import write_int8
        from keras_s2s.export.parity.quality import outputs_of

        with TemporaryDirectory() as temporary:
            model = Path(temporary) / "model.int8.onnx"
            write_int8(translator, model)
            found = _written(outputs_of(model, sources), folder / f"{name}.int8.out")
            size = model.stat().st_size
        int8 = {
            "megabytes": round(size / 1e6, 2),
            "scores": _scores(evaluation, found, references),
        }
    search = translator.search  # of beams: `train` saves no other
    return {
        "name": evaluation.name,
        "sentences": len(outputs),
        "beam": search.width,
        "length_penalty": _in_words(search.length_penalty),
        "scores": _scores(evaluation, outputs, references),
        "int8": int8,
        "by_length": [
            {
                "words": [low, high],
                "sentences": len(rows),
                "scores": _scores(
                    evaluation, [outputs[i] for i in rows], [references[i] for i in rows]
                ),
            }
            for low, high, rows in _lengths(evaluation.by_length, sources)
        ],
    }


def _written(texts: Sequence[str], path: Path) -> list[str]:
    """Texts, each as one line, after they were written to a file."""
    lines = [" ".join(text.splitlines()) for text in texts]
    write_lines(path, lines)
    return lines


def _in_words(penalty: Any) -> str:
    """A length penalty as one would write it: `GNMT(alpha=1.0)`."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in penalty.get_config().items())
    return f"{type(penalty).__name__}({arguments})"


def _scores(
    evaluation: Evaluation, outputs: list[str], references: list[list[str]]
) -> dict[str, dict[str, Any]]:
    return {
        name: METRICS[name].score(outputs, references, tokenize=evaluation.tokenize)._asdict()
        for name in evaluation.metrics
    }


def _lengths(
    bounds: Sequence[int], sources: Sequence[str]
) -> Iterable[tuple[int, int | None, list[int]]]:
    """Rows whose source has from `low` to `high` words, for each two neighbouring bounds."""
    if not bounds:
        return
    starts = [1, *(bound + 1 for bound in bounds)]
    for low, high in zip(starts, [*bounds, None], strict=True):
        rows = [
            i
            for i, text in enumerate(sources)
            if low <= len(text.split()) and (high is None or len(text.split()) <= high)
        ]
        if rows:
            yield low, high, rows
