"""Gathers what the README of an export tells, and writes it: an example, answers, timings."""

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
# Settings of a search that do nothing.
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
    """Writes `README.md` beside what was exported.

    Args:
        plan: what was exported.
        runtimes: for the folder that holds the artefacts.
        parity: the parity run.
        tasks: its tasks; that of text to text has the example.
    """
    task = tasks[SERVED_TASKS[TEXT]]
    sentences = task.sources[len(AWKWARD) + 1 : task.samples[1][0]]  # one more is over-long
    place = example(sentences, task.expected[len(AWKWARD) + 1 :])
    text = sentences[place]
    translator, served = plan.translator, "serving" in plan.formats
    batches = batches_of(sentences)
    latencies = {}
    if served:
        latencies["TensorFlow, the SavedModel as a server runs it"] = measured(
            runtimes.folder / plan.path, batches
        )
    for model in TEXT_MODELS if plan.onnx else ():
        if (runtimes.folder / model).exists():
            latencies[f"ONNX Runtime, `{model}`"] = measured(runtimes.folder / model, batches)
    facts = Facts(
        name=plan.name,
        text=text,
        translation=task.expected[len(AWKWARD) + 1 + place],
        ids=source_rows(translator, [text])[0],
        search=in_words(search_settings(translator.search)),
        server=plan.server,
        version=plan.version if served else None,
        specs=plan.signatures if served else {},
        session=runtimes.session(plan.path) if served else None,
        onnx=sorted(file.name for file in (runtimes.folder / "onnx").glob("*.onnx")),
        extensions=needs_extensions(translator),
        triton="triton" in plan.formats,
        latencies=latencies,
        machine=f"{cores()} cores of {processor()}, {platform.system()}",
        parity=verdict(parity),
    )
    (runtimes.folder / README).write_text(guide(facts), encoding="utf-8")


def example(texts: Sequence[str], translations: Sequence[str]) -> int:
    """The place of a text to show: the first that can be printed and becomes something."""
    for place, pair in enumerate(zip(texts, translations, strict=False)):
        if all(text.strip() and text.isprintable() for text in pair):
            return place
    return 0


def in_words(settings: Mapping[str, Any]) -> str:
    """A search in a line: its class, and the settings that do something.

    Example:
        >>> in_words({"kind": "BeamSearch", "width": 5, "n_best": 1, "no_repeat_ngram": 0})
        'BeamSearch (width 5, n best 1)'
    """
    told = [
        f"{name.replace('_', ' ')} {in_words(value) if isinstance(value, Mapping) else value}"
        for name, value in settings.items()
        if name != "kind" and value not in (None, OFF.get(name))
    ]
    return settings["kind"] + (f" ({', '.join(told)})" if told else "")


def verdict(parity: ParityReport) -> str:
    """The parity run in one sentence."""
    artefacts = {comparison.artefact for comparison in parity.comparisons} - {"keras"}
    return (
        f"On {parity.sentences['count']} sentences, in batches of 1, 7 and 32, each of "
        f"{len(artefacts)} ways to run this model gave the tokens that Keras gives, and scores "
        f"within {parity.largest_score_difference:.0e}."
    )
