"""The inference graphs as ONNX models: the search loop inside, standard operators only.

Ids-to-ids models are converted by tf2onnx, which leaves what it cannot convert in the file and only
logs it, selects by multiplying with zero and so makes NaN of infinity, hands weights through loops
as state, and names neither axes nor producer; all of that is put right or refused here. A text-to-
text model is an ids-to-ids model between the tokenizer graphs of `strings`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import tf2onnx
from onnx import compose, helper

from keras_s2s import __version__
from keras_s2s.export.errors import ExportError
from keras_s2s.export.graphs import ids_function, spec_of_ids, spec_of_text
from keras_s2s.export.hoisting import hoist_invariants
from keras_s2s.export.metadata import settings_of
from keras_s2s.export.names import nodes, remove_unused, rename_all
from keras_s2s.export.nodes import DOMAINS, Nodes
from keras_s2s.export.spec import GraphSpec, Value
from keras_s2s.export.strings import FIRST_OPSET, decode_model, encode_model
from keras_s2s.search import Search
from keras_s2s.translator import Translator

OPSET = 18  # the newest that tf2onnx 1.17 writes
IR_VERSION = 9  # the first that allows opset 20, which the tokenizer graphs need

# Operators outside ONNX's own domains that a text model may hold: ONNX Runtime's and its
# extensions'.
RUNTIME_OPERATORS = {
    ("com.microsoft", "Tokenizer"),
    ("ai.onnx.contrib", "SentencepieceTokenizer"),
    ("ai.onnx.contrib", "SentencepieceDecoder"),
}
ELEMENT_TYPES = {
    "int64": onnx.TensorProto.INT64,
    "float32": onnx.TensorProto.FLOAT,
    "string": onnx.TensorProto.STRING,
}


def ids_model(translator: Translator, name: str, search: Search) -> onnx.ModelProto:
    """Source ids to target ids with the search inside, as `graphs.spec_of_ids` declares.

    Args:
        translator: the model and its special ids.
        name: name of the graph.
        search: how to decode.

    Returns:
        A checked model at opset 18, with standard operators only.

    Raises:
        ExportError: If something in the model or the search has no ONNX form.
    """
    spec = spec_of_ids(translator, name, search)
    model = _converted(ids_function(translator, search, spec), spec)
    hoist_invariants(model)
    _describe(model, spec, translator, search)
    _check(model)
    return model


def text_model(translator: Translator, ids: onnx.ModelProto) -> onnx.ModelProto:
    """Text to the best target text: tokenizer, ids-to-ids model and detokenizer as one.

    Args:
        translator: the tokenizers and the longest source.
        ids: an `ids_model` of this translator with its own search.

    Returns:
        A checked model at opset 20. With characters and words it runs in stock ONNX Runtime, with
        SentencePiece it needs onnxruntime-extensions.

    Raises:
        TypeError: If a tokenizer is of a class that has no ONNX form.
        ExportError: If the parts do not fit.
    """
    # From opset 18 to 20 the operators in use gained types and nothing else, so the number may be
    # raised.
    search = _prefixed("search/", ids.graph, {"": FIRST_OPSET})
    source = encode_model(translator.source_tokenizer, max_length=translator.max_source_length)
    target = decode_model(translator.target_tokenizer)
    model = _prefixed("source/", source.graph)
    for part, joints in (
        (_lengths(), {"source/input_ids": "lengths/padded_ids"}),
        (
            search,
            {
                "lengths/input_ids": "search/input_ids",
                "lengths/input_lengths": "search/input_lengths",
            },
        ),
        (_best(), {"search/output_ids": "best/output_ids"}),
        (_prefixed("target/", target.graph), {"best/best_ids": "target/output_ids"}),
    ):
        model = compose.merge_models(model, part, io_map=list(joints.items()))
    for output in list(model.graph.output):
        if output.name != "target/translation":
            model.graph.output.remove(output)
    boundary = {"source/text": "text", "target/translation": "translation"}
    rename_all(model.graph, lambda name: boundary.get(name, name))
    remove_unused(model.graph)
    _describe(model, spec_of_text(translator), translator, translator.search)
    _check(model)
    return model


def _converted(function: Any, spec: GraphSpec) -> onnx.ModelProto:
    # A choice between two values; tf2onnx would compute c·x + (1 − c)·y, which is NaN where x or y
    # is infinite.
    handlers = {"SelectV2": (lambda context, node, name, arguments: None, ["Where"])}
    with _quiet("tf2onnx"), _quiet("tensorflow"):
        model, _ = tf2onnx.convert.from_function(
            function, spec.signature(), opset=OPSET, custom_op_handlers=handlers
        )
    model.ir_version = IR_VERSION
    return model


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silences a logger: what it would report is found by `_check`."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _lengths() -> onnx.ModelProto:
    """Padded ids int32 [batch, source_length] to ids int64 and the number of ids in each row."""
    parts = Nodes("lengths/")
    int64 = onnx.TensorProto.INT64
    ids = parts.add("Cast", ["lengths/padded_ids"], to=int64, output="lengths/input_ids")
    real = parts.add("Cast", [parts.add("Cast", [ids], to=onnx.TensorProto.BOOL)], to=int64)
    parts.add("ReduceSum", [real, parts.constant([1])], keepdims=0, output="lengths/input_lengths")
    shape = ["batch", "source_length"]
    return parts.model(
        [helper.make_tensor_value_info("lengths/padded_ids", onnx.TensorProto.INT32, shape)],
        [
            helper.make_tensor_value_info("lengths/input_ids", int64, shape),
            helper.make_tensor_value_info("lengths/input_lengths", int64, ["batch"]),
        ],
        opset=FIRST_OPSET,
        ir_version=IR_VERSION,
    )


def _best() -> onnx.ModelProto:
    """Ids int64 [batch, n_best, target_length] to those of the best hypothesis, int32."""
    parts = Nodes("best/")
    int32, int64 = onnx.TensorProto.INT32, onnx.TensorProto.INT64
    best = parts.add("Gather", ["best/output_ids", parts.constant(0)], axis=1)
    parts.add("Cast", [best], to=int32, output="best/best_ids")
    shape = ["batch", "n_best", "target_length"]
    return parts.model(
        [helper.make_tensor_value_info("best/output_ids", int64, shape)],
        [helper.make_tensor_value_info("best/best_ids", int32, shape[::2])],
        opset=FIRST_OPSET,
        ir_version=IR_VERSION,
    )


def _prefixed(
    prefix: str, graph: onnx.GraphProto, opsets: dict[str, int] | None = None
) -> onnx.ModelProto:
    """A model of a copy of the graph in which every name begins with `prefix`."""
    opsets = opsets or {"": FIRST_OPSET, **DOMAINS}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    rename_all(model.graph, lambda name: prefix + name)
    return model


def _describe(
    model: onnx.ModelProto, spec: GraphSpec, translator: Translator, search: Search
) -> None:
    """Puts declaration and settings into the file: axes, meanings, who made it from what."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    in_use = {node.domain for node in nodes(model.graph)} | {""}
    del model.opset_import[:]
    model.opset_import.extend(
        helper.make_opsetid(domain, versions[domain]) for domain in sorted(in_use)
    )
    model.producer_name, model.producer_version = "keras_s2s", __version__
    model.doc_string = spec.meaning
    model.graph.name, model.graph.doc_string = spec.name, spec.meaning
    for declared, values in ((spec.inputs, model.graph.input), (spec.outputs, model.graph.output)):
        wanted, found = [value.name for value in declared], [value.name for value in values]
        if sorted(found) != sorted(wanted):
            raise ExportError(f"The graph {spec.name!r} must have {wanted}; got {found}.")
        del values[:]
        values.extend(_value_info(value) for value in declared)
    settings = settings_of(translator, search)
    properties = {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in settings.items()
    }
    helper.set_model_props(model, properties)


def _value_info(value: Value) -> onnx.ValueInfoProto:
    axes = [axis.name if axis.size is None else axis.size for axis in value.axes]
    return helper.make_tensor_value_info(
        value.name, ELEMENT_TYPES[value.dtype], axes, doc_string=value.meaning
    )


def _check(model: onnx.ModelProto) -> None:
    """Refuses operators that are not ONNX's, and whatever the checker refuses."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    unknown = {
        f"{node.domain or 'ai.onnx'}.{node.op_type}"
        for node in nodes(model.graph)
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
            "tf2onnx cannot convert; write it with others."
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"The graph {model.graph.name!r} is not valid ONNX: {error}") from error
