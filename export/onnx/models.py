"""Builds the ONNX models of an export: a search loop inside, standard operators only.

An ids-to-ids model is an encoder followed by one of the loops of `loops`, which holds the decoder
step. A search that has no such loop is converted whole by tf2onnx. A text-to-text model is an
ids-to-ids model between the two tokenizer graphs of `tokenizers`.
"""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import helper, numpy_helper

from keras_s2s.export.errors import ExportError
from keras_s2s.export.metadata import settings_of
from keras_s2s.export.onnx.conversion import IR_VERSION, OPSET, converted
from keras_s2s.export.onnx.graph.hoisting import hoist_invariants
from keras_s2s.export.onnx.graph.names import nodes as all_nodes
from keras_s2s.export.onnx.graph.nodes import Nodes
from keras_s2s.export.onnx.loops.beam import BeamLoop
from keras_s2s.export.onnx.loops.greedy import GreedyLoop
from keras_s2s.export.onnx.loops.search import is_composed
from keras_s2s.export.onnx.parts import ModelParts, model_parts
from keras_s2s.export.onnx.quantization import OPERATORS
from keras_s2s.export.onnx.specs import encoder_spec, step_spec
from keras_s2s.export.onnx.tokenizers import FIRST_OPSET, add_pieces, decode_model, encode_model
from keras_s2s.export.specs.declaration import Declaration
from keras_s2s.export.specs.plan import IdsGraph
from keras_s2s.export.specs.spec import TextSpec
from keras_s2s.export.specs.value import DTYPES, Value
from keras_s2s.export.tracing import ids_function
from keras_s2s.search import BeamSearch, Search
from keras_s2s.system.version import __version__
from keras_s2s.translation.translator import Translator

# The operators outside ONNX's own domains that a model may hold. They come with ONNX Runtime or
# with onnxruntime-extensions.
RUNTIME_OPERATORS = {
    ("com.microsoft", "Tokenizer"),
    ("ai.onnx.contrib", "SentencepieceTokenizer"),
    ("ai.onnx.contrib", "SentencepieceDecoder"),
    *OPERATORS,
}
ELEMENT_TYPES = {
    "int64": onnx.TensorProto.INT64,
    "float32": onnx.TensorProto.FLOAT,
    "bool": onnx.TensorProto.BOOL,
    "int32": onnx.TensorProto.INT32,
    "string": onnx.TensorProto.STRING,
}


def ids_model(
    translator: Translator, graph: IdsGraph, parts: ModelParts | None = None
) -> onnx.ModelProto:
    """Builds the model from source ids to target ids, with the search inside.

    Args:
        translator: the model and its special ids.
        graph: the declaration of the model and its search, as `specs.ids_graph` makes them.
        parts: the encoder and the step of the model; they are converted here when omitted.

    Returns:
        A checked model at opset 18, with standard operators only.

    Raises:
        ExportError: If something in the model or the search has no ONNX form.
    """
    spec, search = graph
    if is_composed(search):
        return _composed(parts or model_parts(translator), translator, search, spec)
    model = converted(ids_function(translator, search, spec), translator.model)
    describe(model, spec, translator, search)
    check(model)
    return model


def text_model(translator: Translator, spec: TextSpec, ids: onnx.ModelProto) -> onnx.ModelProto:
    """Builds the model from text to text: tokenizer, ids-to-ids model and detokenizer as one.

    Args:
        translator: the tokenizers and the longest source.
        spec: the declaration of the model, as `specs.onnx_text_spec` makes it.
        ids: an `ids_model` of this translator with the translator's own search.

    Returns:
        A checked model at opset 20. With character and word tokenizers it runs in stock ONNX
        Runtime; with SentencePiece it needs onnxruntime-extensions.

    Raises:
        TypeError: If a tokenizer is of a class that has no ONNX form.
        ExportError: If the parts do not fit.
    """
    source, target = translator.source_tokenizer, translator.target_tokenizer
    int64, boolean = onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    nodes = Nodes("")
    tokenizer = encode_model(source, max_length=translator.max_source_length).graph
    padded = nodes.inline(tokenizer, {"text": "text"})["input_ids"]
    input_ids = nodes.add("Cast", [padded], to=int64)
    real = nodes.add("Cast", [nodes.add("Cast", [padded], to=boolean)], to=int64)
    lengths = nodes.add("ReduceSum", [real, nodes.constant([1])], keepdims=0)
    settings = {value.name: value.name for value in spec.inputs if value.default is not None}
    inputs = {"input_ids": input_ids, "input_lengths": lengths, **settings}
    outputs = nodes.inline(ids.graph, inputs)

    output_ids = outputs["output_ids"]  # (B, N, L)
    longest = nodes.add("Shape", [output_ids], start=2, end=3)
    flat = nodes.add("Concat", [nodes.constant([-1]), longest], axis=0)
    flat = nodes.add("Reshape", [output_ids, flat])
    flat = nodes.add("Cast", [flat], to=onnx.TensorProto.INT32)
    texts = nodes.inline(decode_model(target).graph, {"output_ids": flat})["translation"]
    hypotheses = nodes.add("Shape", [output_ids], start=0, end=2)
    # On the first axis, ONNX Runtime's Gather of strings is wrong (seen in 1.32).
    texts = nodes.add("Reshape", [texts, hypotheses], output="translations")
    nodes.add("Gather", [texts, nodes.constant(0)], axis=1, output="translation")
    add_pieces(nodes, source, input_ids, lengths, output="source_tokens")
    add_pieces(nodes, target, output_ids, outputs["output_lengths"], output="target_tokens")
    for name, value in outputs.items():
        if name != "output_ids":
            nodes.add("Identity", [value], output=name.removeprefix("output_"))
    return _finished(nodes, FIRST_OPSET, spec, translator, translator.search)


def part_models(
    translator: Translator, parts: ModelParts
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Returns the encoder and the step as two models, for people with a search of their own.

    Returns:
        Two checked models at opset 18, with the declarations of `specs.encoder_spec` and
        `specs.step_spec`.
    """
    models = []
    for part, spec in (
        (parts.encoder, encoder_spec(parts)),
        (parts.step, step_spec(parts)),
    ):
        model = onnx.ModelProto()
        model.CopyFrom(part)
        describe(model, spec, translator, translator.search)
        check(model)
        models.append(model)
    return models[0], models[1]


def _composed(
    parts: ModelParts, translator: Translator, search: Search, spec: Declaration
) -> onnx.ModelProto:
    inputs = {value.name: value.name for value in spec.inputs}
    kind = BeamLoop if isinstance(search, BeamSearch) else GreedyLoop
    loop = kind(parts, translator, search, inputs, "")
    for name, value in loop.write().items():
        loop.nodes.add("Identity", [value], output=name)
    return _finished(loop.nodes, OPSET, spec, translator, search)


def _finished(
    nodes: Nodes, opset: int, spec: Declaration, translator: Translator, search: Search
) -> onnx.ModelProto:
    model = nodes.model(
        [_value_info(value) for value in spec.inputs],
        [_value_info(value) for value in spec.outputs],
        opset=opset,
        ir_version=IR_VERSION,
    )
    hoist_invariants(model)
    describe(model, spec, translator, search)
    check(model)
    return model


def describe(
    model: onnx.ModelProto, spec: Declaration, translator: Translator, search: Search
) -> None:
    """Writes a declaration and the translator's settings into a model, in place.

    The model then states its axes, the defaults and meanings of its values, and its origin.

    Raises:
        ExportError: If the inputs or outputs of the graph are not those declared.
    """
    versions = {entry.domain: entry.version for entry in model.opset_import}
    in_use = {node.domain for node in all_nodes(model.graph)} | {""}
    del model.opset_import[:]
    model.opset_import.extend(
        helper.make_opsetid(domain, versions[domain]) for domain in sorted(in_use)
    )
    model.producer_name, model.producer_version = "keras_s2s", __version__
    model.doc_string = spec.meaning
    model.graph.name, model.graph.doc_string = spec.name, spec.meaning
    for declared, values in ((spec.inputs, model.graph.input), (spec.outputs, model.graph.output)):
        declared_names = [value.name for value in declared]
        names = [value.name for value in values]
        if sorted(names) != sorted(declared_names):
            raise ExportError(
                f"The graph {spec.name!r} must have the values {declared_names}; got {names}."
            )
        del values[:]
        values.extend(_value_info(value) for value in declared)
    for value in spec.inputs:
        if value.default is not None:
            default = np.array(value.default, DTYPES[value.dtype])
            model.graph.initializer.append(numpy_helper.from_array(default, value.name))
    properties = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in settings_of(translator, search).items()
    }
    helper.set_model_props(model, properties)


def _value_info(value: Value) -> onnx.ValueInfoProto:
    axes = [axis.name if axis.size is None else axis.size for axis in value.axes]
    return helper.make_tensor_value_info(
        value.name, ELEMENT_TYPES[value.dtype], axes, doc_string=value.meaning
    )


def check(model: onnx.ModelProto) -> None:
    """Refuses a model with operators outside ONNX, or one that ONNX's own checker refuses.

    Raises:
        ExportError: If the model holds such an operator or is not valid ONNX.
    """
    versions = {entry.domain: entry.version for entry in model.opset_import}
    unknown = {
        f"{node.domain or 'ai.onnx'}.{node.op_type}"
        for node in all_nodes(model.graph)
        if (node.domain, node.op_type) not in RUNTIME_OPERATORS
        and not (
            node.domain in versions
            and onnx.defs.has(node.op_type, versions[node.domain], node.domain)
        )
    }
    if unknown:
        raise ExportError(
            f"The graph {model.graph.name!r} holds operators that are not ONNX's: "
            f"{', '.join(sorted(unknown))}. A layer or the search uses a TensorFlow operation that "
            "tf2onnx cannot convert; write it with other operations."
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The graph {model.graph.name!r} is not valid ONNX: {error}") from error
