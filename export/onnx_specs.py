"""What ONNX graphs declare: more than SavedModels, for a runtime gives what a caller asks for.

Inputs that have defaults may be left out, and outputs that are not asked for cost next to nothing.
"""

from __future__ import annotations

from dataclasses import replace

from keras_s2s.export.graphs import spec_of_ids, spec_of_text
from keras_s2s.export.loops import controls, is_composed
from keras_s2s.export.spec import Axis, GraphSpec, IdsSpec, TextSpec, Value
from keras_s2s.search import Search
from keras_s2s.translator import Translator

BATCH, SOURCE, HYPOTHESES, TARGET = (
    Axis(name) for name in ("batch", "source_length", "n_best", "target_length")
)
MEANINGS = {
    "min_length": "Tokens that an output has at least, the end id counted.",
    "max_length": "Longest output in tokens, the end id counted.",
    "beam_width": "Hypotheses kept while searching, from 1 to 64; 1 is greedy search.",
    "n_best": "Hypotheses returned, at most `beam_width`.",
    "length_penalty": "Weight of the length penalty ((5 + length) / 6)^weight; 0 is none.",
}
ALIGNMENTS = Value(
    "alignments",
    "float32",
    (BATCH, HYPOTHESES, TARGET, SOURCE),
    "Attention weights: how much each target token looked at each source token.",
)


def onnx_ids_spec(translator: Translator, name: str, search: Search) -> IdsSpec:
    """The declaration of an ids-to-ids model: `spec_of_ids`, run-time settings and alignments."""
    spec = spec_of_ids(translator, name, search)
    if not is_composed(search):
        return spec
    return replace(
        spec,
        inputs=(*spec.inputs, *_controls(search)),
        outputs=(*(_of_any_length(value) for value in spec.outputs), *_alignments(translator)),
    )


def onnx_text_spec(translator: Translator) -> TextSpec:
    """The declaration of a text-to-text model: everything that a page needs to show a search."""
    spec = spec_of_text(translator)
    search = translator.search
    composed = is_composed(search)
    hypotheses = HYPOTHESES if composed else Axis("n_best", search.n_best)
    target = TARGET if composed else Axis("target_length", search.max_length)
    scores = next(
        value for value in spec_of_ids(translator, "", search).outputs if value.name == "scores"
    )
    return replace(
        spec,
        inputs=(*spec.inputs, *(_controls(search) if composed else ())),
        outputs=(
            *spec.outputs,
            Value("translations", "string", (BATCH, hypotheses), "The n-best list, best first."),
            replace(scores, axes=(BATCH, hypotheses)),
            Value(
                "source_tokens",
                "string",
                (BATCH, SOURCE),
                "The pieces of each source, the end's last, then empty strings.",
            ),
            Value(
                "target_tokens",
                "string",
                (BATCH, hypotheses, target),
                "The pieces of each translation, the end's last, then empty strings.",
            ),
            *(_alignments(translator) if composed else ()),
        ),
    )


def _controls(search: Search) -> list[Value]:
    return [
        Value(name, "float32" if isinstance(value, float) else "int64", (), MEANINGS[name], value)
        for name, value in controls(search).items()
    ]


def _alignments(translator: Translator) -> list[Value]:
    return [ALIGNMENTS] if translator.model.attends else []


def _of_any_length(value: Value) -> Value:
    free = {"n_best": HYPOTHESES, "target_length": TARGET}
    return replace(value, axes=tuple(free.get(axis.name, axis) for axis in value.axes))


def inputs_of(spec: GraphSpec) -> list[str]:
    """The names of all inputs."""
    return [value.name for value in spec.inputs]
