"""Decodes the test texts of a recipe with a translator, and computes the metrics."""

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
        evaluation: the test text, the settings of its decoding, and the metrics.
        run: name of the run, which replaces `{run}` in file names.
        translator: a `Translator`.
        data: folder that the file names start from.
        folder: folder that receives `NAME.out`, with a line for each source, and `NAME.int8.out`.

    Returns:
        The record of the evaluation in `results.json`. It has the name, the number of sentences,
        the search, the scores with their signatures, the scores of the int8 model, or None if it is
        not asked for, and the scores by source length.
    """
    files = [data / name for name in evaluation.files(run)]
    if evaluation.data is not None:
        sources, references = read_references(data=files[0])
    else:
        sources, references = read_references(files[0], files[1:])
    options = {"width": evaluation.beam, "length_penalty": evaluation.length_penalty}
    changes = {name: value for name, value in options.items() if value is not None}
    translator = translator.with_model(translator.model)  # to keep the caller's search
    translator.search = translator.search.like(**changes)
    name = evaluation.name.replace(" ", "-")
    outputs = _write_outputs(translator(sources, batch_size=64), folder / f"{name}.out")
    int8 = None
    if evaluation.int8:
        int8 = _evaluate_int8(
            evaluation, translator, sources, references, folder / f"{name}.int8.out"
        )
    search = translator.search  # a beam search, since `train` saves no other kind
    return {
        "name": evaluation.name,
        "sentences": len(outputs),
        "beam": search.width,
        "length_penalty": _penalty_in_words(search.length_penalty),
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
            for low, high, rows in _rows_by_length(evaluation.by_length, sources)
        ],
    }


def _evaluate_int8(
    evaluation: Evaluation,
    translator: Any,
    sources: Sequence[str],
    references: list[list[str]],
    path: Path,
) -> dict[str, Any]:
    """Exports a translator as an int8 ONNX model, writes its outputs, and scores them."""
    from keras_s2s.export.onnx.files import write_int8
    from keras_s2s.export.parity.quality import outputs_of

    with TemporaryDirectory() as temporary:
        model = Path(temporary) / "model.int8.onnx"
        write_int8(translator, model)
        outputs = _write_outputs(outputs_of(model, sources), path)
        size = model.stat().st_size
    return {
        "megabytes": round(size / 1e6, 2),
        "scores": _scores(evaluation, outputs, references),
    }


def _write_outputs(texts: Sequence[str], path: Path) -> list[str]:
    """Writes each text as one line of a file, and returns the lines."""
    lines = [" ".join(text.splitlines()) for text in texts]
    write_lines(path, lines)
    return lines


def _penalty_in_words(penalty: Any) -> str:
    """Writes a length penalty as Python would make it, such as `GNMT(weight=1.0)`."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in penalty.get_config().items())
    return f"{type(penalty).__name__}({arguments})"


def _scores(
    evaluation: Evaluation, outputs: list[str], references: list[list[str]]
) -> dict[str, dict[str, Any]]:
    """Computes each metric of an evaluation, as records for the JSON."""
    return {
        name: METRICS[name].score(outputs, references, tokenize=evaluation.tokenize)._asdict()
        for name in evaluation.metrics
    }


def _rows_by_length(
    bounds: Sequence[int], sources: Sequence[str]
) -> Iterable[tuple[int, int | None, list[int]]]:
    """Groups the rows of sources by their number of words.

    Args:
        bounds: largest numbers of words of all groups but the last, which is open.
        sources: source texts.

    Yields:
        For each group that is not empty, its smallest number of words, its largest number of words,
        which is None for the last group, and its rows.
    """
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
