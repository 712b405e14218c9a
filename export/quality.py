"""What 8 bits cost and gain: size, time, and outputs held against references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_s2s.export.arrays import as_valid
from keras_s2s.export.artefacts import onnx_run
from keras_s2s.export.errors import ExportError
from keras_s2s.export.latency import SIZES, batches_of, measured
from keras_s2s.scores import score_outputs

BATCH_SIZE = 32
QUANTIZATIONS = ("int8",)


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
        scores = [score_outputs(texts, references) for texts in outputs]
        found["bleu"] = [score.bleu for score in scores]
        found["exact_match"] = [100 * score.exact_match for score in scores]
        found["bleu_signature"] = scores[0].bleu_signature
        drops = (before - after for before, after in (found["bleu"], found["exact_match"]))
        found["drop"] = max(0.0, *drops)
    return found


def check_quality(found: dict[str, Any], limit: float) -> None:
    """Refuses a drop above the limit.

    Raises:
        ExportError: for one.
    """
    drop = found.get("drop", 0.0)
    if drop > limit:
        raise ExportError(
            f"The int8 model is worse by {drop:.2f} points, more than the {limit:g} allowed: BLEU "
            f"{found['bleu'][0]:.2f} → {found['bleu'][1]:.2f}, exact match "
            f"{found['exact_match'][0]:.2f} % → {found['exact_match'][1]:.2f} %. Nothing was "
            "published. Export without int8, or allow more (--int8-drop)."
        )


def quality_lines(found: dict[str, Any]) -> list[str]:
    """The comparison as lines of Markdown."""
    rows = [("size, MB", found["megabytes"], ".1f")]
    for size, times in found["milliseconds"].items():
        rows.append((f"milliseconds for a batch of {size}", times, ".1f"))
    if "bleu" in found:
        rows.append(("BLEU", found["bleu"], ".2f"))
        rows.append(("exact match, %", found["exact_match"], ".2f"))
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
