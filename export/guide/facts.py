"""Gathers the facts for the README of an export, such as an example and timings, and writes it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from keras_s2s.export.guide.readme import README, Facts, guide
from keras_s2s.export.metadata import search_settings
from keras_s2s.export.onnx.packages import needs_extensions
from keras_s2s.export.parity.expectation import SERVED_TASKS
from keras_s2s.export.parity.reference import source_rows
from keras_s2s.export.parity.report import ParityReport
from keras_s2s.export.parity.sentences import AWKWARD
from keras_s2s.export.parity.tasks.task import Task
from keras_s2s.export.runtimes.latency import batches_of, measured
from keras_s2s.export.runtimes.runtimes import Runtimes
from keras_s2s.export.specs.plan import ExportPlan
from keras_s2s.export.specs.signatures import TEXT
from keras_s2s.system.machine import cores, processor

TEXT_MODELS = ("onnx/model.onnx", "onnx/model.int8.onnx")
# The values at which a setting of a search has no effect.
OFF: dict[str, Any] = {
    "min_length": (0.0, 0.0),
    "allow_unknown": True,
    "repetition_penalty": 1.0,
    "no_repeat_ngram": 0,
    "stop": "exact",
}


def write_readme(
    plan: ExportPlan,
    runtimes: Runtimes,
    parity: ParityReport,
    tasks: Mapping[str, Task],
) -> None:
    """Writes `README.md` into the folder that holds the exported artefacts.

    Args:
        plan: the plan of the export.
        runtimes: the runtimes of the folder with the artefacts.
        parity: the finished parity run.
        tasks: the tasks of the parity run by name; the task from text to text has the example.
    """
    task = tasks[SERVED_TASKS[TEXT]]
    ordinary = len(AWKWARD) + 1  # the awkward texts and an over-long one come first
    sentences = task.sources[ordinary : task.samples[1][0]]
    translations = task.expected[ordinary:]
    place = example(sentences, translations)
    text = sentences[place]
    translator, served = plan.translator, "serving" in plan.formats
    facts = Facts(
        name=plan.name,
        text=text,
        translation=translations[place],
        ids=source_rows(translator, [text])[0],
        search=in_words(search_settings(translator.search)),
        server=plan.server,
        version=plan.version if served else None,
        specs=plan.signatures if served else {},
        session=runtimes.session(plan.path) if served else None,
        onnx=sorted(file.name for file in (runtimes.folder / "onnx").glob("*.onnx")),
        extensions=needs_extensions(translator),
        triton="triton" in plan.formats,
        latencies=latencies(plan, runtimes, sentences),
        machine=f"{cores()} cores of {processor()}, {platform.system()}",
        parity=verdict(parity),
    )
    (runtimes.folder / README).write_text(guide(facts), encoding="utf-8")


def latencies(
    plan: ExportPlan, runtimes: Runtimes, sentences: Sequence[str]
) -> dict[str, list[float]]:
    """Measures how long the exported models from text to text take.

    Args:
        plan: the plan of the export.
        runtimes: the runtimes of the folder with the artefacts.
        sentences: the texts to translate.

    Returns:
        The median seconds of a batch, one for each size in `latency.SIZES`, by the model's name.
    """
    batches = batches_of(sentences)
    seconds = {}
    if "serving" in plan.formats:
        seconds["TensorFlow, the SavedModel as a server runs it"] = measured(
            runtimes.folder / plan.path, batches
        )
    for model in TEXT_MODELS if plan.onnx else ():
        if (runtimes.folder / model).exists():
            seconds[f"ONNX Runtime, `{model}`"] = measured(runtimes.folder / model, batches)
    return seconds


def example(texts: Sequence[str], translations: Sequence[str]) -> int:
    """Returns the index of the text that the README shows as its example.

    The example is the first text that, like its translation, can be printed and is not blank. If
    there is no such text, it is the first of all.
    """
    for place, pair in enumerate(zip(texts, translations, strict=False)):
        if all(text.strip() and text.isprintable() for text in pair):
            return place
    return 0


def in_words(settings: Mapping[str, Any]) -> str:
    """Describes a search in one line by its class and the settings that have an effect.

    Example:
        >>> in_words({"kind": "BeamSearch", "width": 5, "n_best": 1, "no_repeat_ngram": 0})
        'BeamSearch (width 5, n best 1)'
    """
    effective = [
        f"{name.replace('_', ' ')} {in_words(value) if isinstance(value, Mapping) else value}"
        for name, value in settings.items()
        if name != "kind" and value not in (None, OFF.get(name))
    ]
    return settings["kind"] + (f" ({', '.join(effective)})" if effective else "")


def verdict(parity: ParityReport) -> str:
    """Sums up the parity run in one sentence."""
    artefacts = {comparison.artefact for comparison in parity.comparisons} - {"keras"}
    return (
        f"On {parity.sentences['count']} sentences, in batches of 1, 7 and 32, each of "
        f"{len(artefacts)} ways to run this model gave the tokens that Keras gives and scores "
        f"that differ by at most {parity.largest_score_difference:.0e}."
    )
