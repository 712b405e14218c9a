"""The declarations of ONNX graphs: their inputs, outputs, axes and meanings.

They declare more than SavedModels do, because an ONNX runtime computes only what a caller asks for:
inputs that have defaults may be left out, and outputs that nobody asks for cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import onnx
from onnx import helper

from keras_s2s.export.onnx.loops.search import controls, is_composed
from keras_s2s.export.onnx.parts import NEW, ModelParts
from keras_s2s.export.specs.declaration import Declaration
from keras_s2s.export.specs.plan import IdsGraph
from keras_s2s.export.specs.signatures import spec_of_ids, spec_of_text
from keras_s2s.export.specs.spec import TextSpec
from keras_s2s.export.specs.value import Axis, Value
from keras_s2s.search import Search
from keras_s2s.translation.translator import Translator

BATCH, SOURCE, HYPOTHESES, TARGET = (
    Axis(name) for name in ("batch", "source_length", "n_best", "target_length")
)
ROWS = Axis("rows")
# Axes of their own, because an empty batch is encoded as one row, and a source without ids as one
# position.
ENCODED, POSITIONS = Axis("encoded_batch"), Axis("encoded_length")
MEMORY = "Part of the memory, which the decoder reads at every step."
FIRST_STATE = "The decoder's state before its first step."
MEANINGS = {
    "min_length": "Length of the shortest output in tokens, the end id counted.",
    "max_length": "Length of the longest output in tokens, the end id counted.",
    "beam_width": "Number of hypotheses kept while searching, from 1 to 64; 1 is greedy search.",
    "n_best": "Number of hypotheses returned, at most `beam_width`.",
    "length_penalty": "Weight of the length penalty ((5 + length) / 6)^weight; 0 turns it off.",
}
ALIGNMENTS = Value(
    "alignments",
    "float32",
    (BATCH, HYPOTHESES, TARGET, SOURCE),
    "Attention weights: how much each target token looked at each source token.",
)


def ids_graph(translator: Translator, name: str, search: Search) -> IdsGraph:
    """Declares an ids-to-ids model with a search.

    A search that has a loop of its own adds run-time settings and alignments to `spec_of_ids`.
    """
    spec = spec_of_ids(translator, name, search)
    if is_composed(search):
        spec = replace(
            spec,
            inputs=(*spec.inputs, *_controls(search)),
            outputs=(*(_of_any_length(value) for value in spec.outputs), *_alignments(translator)),
        )
    return IdsGraph(spec, search)


def onnx_text_spec(translator: Translator) -> TextSpec:
    """Declares a text-to-text model, with all outputs that explain a translation."""
    spec = spec_of_text(translator)
    search = translator.search
    composed = is_composed(search)
    hypotheses = HYPOTHESES if composed else Axis("n_best", search.n_best)
    target = TARGET if composed else Axis("target_length", search.max_length)
    ids_outputs = {value.name: value for value in spec_of_ids(translator, "", search).outputs}
    return replace(
        spec,
        inputs=(*spec.inputs, *(_controls(search) if composed else ())),
        outputs=(
            *spec.outputs,
            Value("translations", "string", (BATCH, hypotheses), "The n-best list, best first."),
            replace(ids_outputs["scores"], axes=(BATCH, hypotheses)),
            replace(ids_outputs["output_lengths"], name="lengths", axes=(BATCH, hypotheses)),
            Value(
                "source_tokens",
                "string",
                (BATCH, SOURCE),
                "The pieces of each source, the end piece last, then empty strings.",
            ),
            Value(
                "target_tokens",
                "string",
                (BATCH, hypotheses, target),
                "The pieces of each translation, the end piece last, then empty strings.",
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


def encoder_spec(parts: ModelParts) -> Declaration:
    """Declares the encoder as a model that is published alone."""
    return Declaration(
        "encoder",
        "From source ids to the decoder's memory and first state. An empty batch is encoded as one "
        "row of padding.",
        (
            Value("input_ids", "int64", (BATCH, SOURCE), "Source ids, the end id last."),
            Value("input_lengths", "int64", (BATCH,), "Ids per row, the end id counted."),
        ),
        tuple(
            _value(value, ENCODED, MEMORY if value.name in parts.memory else FIRST_STATE)
            for value in _in_order(parts.encoder.graph.output, parts.memory + parts.state)
        ),
    )


def step_spec(parts: ModelParts) -> Declaration:
    """Declares one step of the decoder as a model that is published alone."""
    memory, state = (
        tuple(_value(value, axis, meaning) for value in _in_order(parts.step.graph.input, names))
        for names, axis, meaning in (
            (parts.memory, ENCODED, MEMORY),
            (parts.state, ROWS, "The state after the last step; at first, that of the encoder."),
        )
    )
    weights = Value("weights", "float32", (ROWS, POSITIONS), "Attention over the source.")
    return Declaration(
        "decoder_step",
        "From the last token of each row to the logits of its next one. There is one row per "
        "sentence, or the same number of rows for each sentence, those of a sentence together; "
        "the memory is not repeated.",
        (
            Value("tokens", "int64", (ROWS,), "The last id of each row; at first the start id."),
            *state,
            *memory,
        ),
        (
            Value(
                "logits",
                "float32",
                (ROWS, Axis("vocabulary", parts.vocabulary)),
                "Scores of the next token, before softmax.",
            ),
            *([weights] if parts.attends else []),
            *(
                replace(value, name=NEW + value.name, meaning="The state for the next step.")
                for value in state
            ),
        ),
    )


def _in_order(
    values: Iterable[onnx.ValueInfoProto], names: Sequence[str]
) -> list[onnx.ValueInfoProto]:
    by_name = {value.name: value for value in values}
    return [by_name[name] for name in names]


def _value(value: onnx.ValueInfoProto, first: Axis, meaning: str) -> Value:
    kind = value.type.tensor_type
    sizes = [axis.dim_value or None for axis in kind.shape.dim[1:]]
    axes = [
        (POSITIONS if place == 1 else Axis(f"{value.name}_{place}"))
        if size is None
        else Axis("width", size)
        for place, size in enumerate(sizes, 1)
    ]
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return Value(value.name, dtype, (first, *axes), meaning)
