"""What 8 bits cost and gain: size, time, and outputs held against references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_s2s.evaluation.metrics import METRICS, Metric
from keras_s2s.export.errors import ExportError
from keras_s2s.export.runtimes.artefacts import onnx_run
from keras_s2s.export.runtimes.latency import SIZES, batches_of, measured
from keras_s2s.export.specs.arrays import as_valid

BATCH_SIZE = 32
QUANTIZATIONS = ("int8",)
# What an int8 model may lose; both are better when higher, so that a drop is a loss.
_COMPARED = (METRICS["bleu"], METRICS["exact_match"])


def check_quantization(
    quantize: str | None,
    formats: Sequence[str],
    sentences: Sequence[str] | None,
    references: Sequence[str] | None,
    limit: float,
) -> None:
    """Raises ValueError for wishes that cannot be fulfilled together."""
    if quantize is None:
        if references is not None:
            raise ValueError("`references` are what int8 models are held against: add 'int8'.")
        return
    if quantize not in QUANTIZATIONS or "onnx" not in formats:
        raise ValueError(
            f"`quantize` must be 'int8' or None, with 'onnx' among the formats; got {quantize!r}."
        )
    if math.isnan(limit) or limit < 0:
        raise ValueError(f"`int8_drop` must be a number from 0 on; got {limit!r}.")
    if references is None and limit < math.inf:
        raise ValueError(
            "How much worse an int8 model is shows against references alone: give `sentences` and "
            "`references` (--sentences, --references), or int8_drop=inf to export it whatever it "
            "costs."
        )
    if references is not None and len(references) != len(sentences or ()):
        raise ValueError(
            f"There must be one reference for each of the sentences; got {len(sentences or ())} "
            f"sentences and {len(references)} references."
        )


def compare_quality(
    whole: Path,
    eighth: Path,
    sentences: Sequence[str],
    references: Sequence[str] | None,
) -> dict[str, Any]:
    """Runs a text-to-text model and its int8 form on sentences.

    Returns:
        As JSON types: sizes, median milliseconds at batches of `SIZES`, how many outputs are the
        same, and with references BLEU and exact match of both and the larger drop, in points.
    """
    outputs = [outputs_of(path, sentences) for path in (whole, eighth)]
    batches = batches_of(list(sentences))
    times = [measured(path, batches) for path in (whole, eighth)]
    found: dict[str, Any] = {
        "sentences": len(sentences),
        "same_outputs": sum(a == b for a, b in zip(*outputs, strict=True)) / len(sentences),
        "megabytes": [path.stat().st_size / 1e6 for path in (whole, eighth)],
        "milliseconds": {
            str(size): [1000 * a, 1000 * b] for size, a, b in zip(SIZES, *times, strict=True)
        },
    }
    if references is not None:
        for metric in _COMPARED:
            scores = [metric.score(texts, references) for texts in outputs]
            found[metric.name] = [metric.points(score.value) for score in scores]
            if metric.takes_tokenizer:  # without the signature nobody would know which one
                found[f"{metric.name}_signature"] = scores[0].signature
        drops = (found[metric.name][0] - found[metric.name][1] for metric in _COMPARED)
        found["drop"] = max(0.0, *drops)
    return found


def check_quality(found: dict[str, Any], limit: float) -> None:
    """Refuses a drop above the limit.

    Raises:
        ExportError: for one.
    """
    drop = found.get("drop", 0.0)
    if drop > limit:
        changes = ", ".join(_change(metric, *found[metric.name]) for metric in _COMPARED)
        raise ExportError(
            f"The int8 model is worse by {drop:.2f} points, more than the {limit:g} allowed: "
            f"{changes}. Nothing was published. Export without int8, or allow more (--int8-drop)."
        )


def _change(metric: Metric, before: float, after: float) -> str:
    percent = " %" if metric.unit == "share" else ""
    return f"{metric.title} {before:.2f}{percent} → {after:.2f}{percent}"


def quality_lines(found: dict[str, Any]) -> list[str]:
    """The comparison as lines of Markdown."""
    rows = [("size, MB", found["megabytes"], ".1f")]
    for size, times in found["milliseconds"].items():
        rows.append((f"milliseconds for a batch of {size}", times, ".1f"))
    rows += [(each.label, found[each.name], ".2f") for each in _COMPARED if each.name in found]
    lines = [
        "## int8",
        "",
        f"`model.int8.onnx` gives the text of `model.onnx` for {found['same_outputs']:.1%} of "
        f"{found['sentences']} sentences.",
        "",
        "| | float32 | int8 |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {a:{form}} | {b:{form}} |" for name, (a, b), form in rows]
    return [*lines, ""]


def outputs_of(path: Path, sentences: Sequence[str]) -> list[str]:
    """The best output of a text-to-text ONNX file for each sentence, in order."""
    places = range(0, len(sentences), BATCH_SIZE)
    batches = [{"text": as_valid(sentences[i : i + BATCH_SIZE])} for i in places]
    return [text for batch in onnx_run(path)(batches) for text in batch["translation"].tolist()]
