"""Measures an int8 model: its size, speed and scores beside those of the float32 model."""

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
# The metrics of which an int8 model may lose points. Both are better when higher, so a drop is a
# loss.
_COMPARED = (METRICS["bleu"], METRICS["exact_match"])


def check_quantization(
    quantize: str | None,
    formats: Sequence[str],
    sentences: Sequence[str] | None,
    references: Sequence[str] | None,
    limit: float,
) -> None:
    """Checks the arguments of an export that concern int8 models.

    Args:
        quantize: 'int8', or None for no int8 models.
        formats: the formats to export.
        sentences: source texts, or None.
        references: one reference translation for each of the sentences, or None.
        limit: points of BLEU or of exact match that int8 may lose.

    Raises:
        ValueError: If an argument is unknown, or the arguments contradict each other.
    """
    if quantize is None:
        if references is not None:
            raise ValueError(
                "`references` are what int8 models are held against, and `quantize` is None. Add "
                "quantize='int8' (--quantize int8), or leave the references out."
            )
        return
    if quantize not in QUANTIZATIONS or "onnx" not in formats:
        raise ValueError(
            f"`quantize` must be 'int8' or None, with 'onnx' among the formats; got {quantize!r} "
            f"and the formats {list(formats)}."
        )
    if math.isnan(limit) or limit < 0:
        raise ValueError(
            f"`int8_drop` must be a number from 0 on, or infinity for no limit; got {limit!r}."
        )
    if references is None and limit < math.inf:
        raise ValueError(
            "Only references show how much worse an int8 model is. Give `sentences` and "
            "`references` (--sentences, --references), or int8_drop=inf to export the int8 model "
            "whatever it loses."
        )
    if references is not None and len(references) != len(sentences or ()):
        raise ValueError(
            f"There must be one reference for each of the sentences; got {len(sentences or ())} "
            f"sentences and {len(references)} references."
        )


def compare_quality(
    float32_model: Path,
    int8_model: Path,
    sentences: Sequence[str],
    references: Sequence[str] | None,
) -> dict[str, Any]:
    """Runs a text-to-text model and its int8 form on sentences and measures both.

    Args:
        float32_model: the ONNX file of the model.
        int8_model: the ONNX file of its int8 form.
        sentences: source texts.
        references: one reference translation for each of the sentences, or None.

    Returns:
        The measurements as JSON types: the file sizes, the median milliseconds for batches of
        `SIZES`, and the share of equal outputs. With references, also BLEU and exact match of both
        models and the larger drop, in points.
    """
    paths = (float32_model, int8_model)
    outputs = [outputs_of(path, sentences) for path in paths]
    batches = batches_of(list(sentences))
    times = [measured(path, batches) for path in paths]
    quality: dict[str, Any] = {
        "sentences": len(sentences),
        "same_outputs": sum(a == b for a, b in zip(*outputs, strict=True)) / len(sentences),
        "megabytes": [path.stat().st_size / 1e6 for path in paths],
        "milliseconds": {
            str(size): [1000 * a, 1000 * b] for size, a, b in zip(SIZES, *times, strict=True)
        },
    }
    if references is not None:
        for metric in _COMPARED:
            scores = [metric.score(texts, references) for texts in outputs]
            quality[metric.name] = [metric.points(score.value) for score in scores]
            if metric.takes_tokenizer:  # only the signature says which tokenizer was used
                quality[f"{metric.name}_signature"] = scores[0].signature
        drops = (quality[metric.name][0] - quality[metric.name][1] for metric in _COMPARED)
        quality["drop"] = max(0.0, *drops)
    return quality


def check_quality(quality: dict[str, Any], limit: float) -> None:
    """Refuses an int8 model that loses more points than the limit allows.

    Args:
        quality: the measurements of `compare_quality`.
        limit: points of BLEU or of exact match that int8 may lose.

    Raises:
        ExportError: If the drop is larger than `limit`.
    """
    drop = quality.get("drop", 0.0)
    if drop > limit:
        changes = ", ".join(_change(metric, *quality[metric.name]) for metric in _COMPARED)
        raise ExportError(
            f"The int8 model is worse by {drop:.2f} points, more than the {limit:g} allowed: "
            f"{changes}. Nothing was published. Export without int8, or allow more (--int8-drop)."
        )


def _change(metric: Metric, before: float, after: float) -> str:
    percent = " %" if metric.unit == "share" else ""
    return f"{metric.title} {before:.2f}{percent} → {after:.2f}{percent}"


def quality_lines(quality: dict[str, Any]) -> list[str]:
    """Returns the measurements of `compare_quality` as lines of Markdown."""
    rows = [("size, MB", quality["megabytes"], ".1f")]
    for size, times in quality["milliseconds"].items():
        rows.append((f"milliseconds for a batch of {size}", times, ".1f"))
    rows += [
        (metric.label, quality[metric.name], ".2f")
        for metric in _COMPARED
        if metric.name in quality
    ]
    lines = [
        "## int8",
        "",
        f"`model.int8.onnx` gives the same text as `model.onnx` for {quality['same_outputs']:.1%} "
        f"of {quality['sentences']} sentences.",
        "",
        "| | float32 | int8 |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {a:{form}} | {b:{form}} |" for name, (a, b), form in rows]
    return [*lines, ""]


def outputs_of(path: Path, sentences: Sequence[str]) -> list[str]:
    """Returns the best output of a text-to-text ONNX file for each sentence, in their order."""
    places = range(0, len(sentences), BATCH_SIZE)
    batches = [{"text": as_valid(sentences[i : i + BATCH_SIZE])} for i in places]
    return [text for batch in onnx_run(path)(batches) for text in batch["translation"].tolist()]
