"""Declares the protocol buffers of TensorFlow and its server that this library reads or writes.

TensorFlow's package holds classes for its own messages, and `tensorflow-serving-api` holds those of
the server. The process that serves a SavedModel must not import the first package, and this library
does without the second. So `google.protobuf` makes classes out of the fields declared here. The
classes skip all other fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClassesForFiles

# Each message with its fields as in the .proto files of TensorFlow and TensorFlow Serving, except
# that a TensorProto is `bytes` here: a serialized message and bytes look the same.
DECLARED = {
    # tensorflow/core/framework: op_def.proto, tensor_shape.proto
    "OpList": "repeated OpDef op = 1",
    "OpDef": "string name = 1; repeated AttrDef attr = 4",
    "AttrDef": "string name = 1",
    "TensorShapeProto": "repeated Dim dim = 2; bool unknown_rank = 3",
    "Dim": "int64 size = 1",
    # tensorflow/core/protobuf/meta_graph.proto
    "MetaGraphDef": "map<string, SignatureDef> signature_def = 5",
    "SignatureDef": "map<string, TensorInfo> inputs = 1; map<string, TensorInfo> outputs = 2",
    "TensorInfo": "string name = 1; int32 dtype = 2; TensorShapeProto tensor_shape = 3",
    # tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto
    "PredictionLog": "PredictLog predict_log = 6",
    "PredictLog": "PredictRequest request = 1",
    "PredictRequest": "ModelSpec model_spec = 1; map<string, bytes> inputs = 2",
    "ModelSpec": "string name = 1; string signature_name = 3",
}
_FIELD = re.compile(r"(repeated |map<string, )?(\w+)>? (\w+) = (\d+)")


def classes_of(declared: Mapping[str, str]) -> dict[str, Any]:
    """Makes a class for each declared message.

    Args:
        declared: the fields of each message, as in `DECLARED`.

    Example:
        >>> Dim = classes_of({"Dim": "int64 size = 1"})["Dim"]
        >>> Dim(size=150).SerializeToString().hex()
        '089601'
    """
    file = FileDescriptorProto(name="serving.proto", syntax="proto3")
    for name, fields in declared.items():
        message = file.message_type.add(name=name)
        for field in fields.split("; "):
            _declare(message, field)
    # In the default pool, TensorFlow's own declarations may have the same names.
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClassesForFiles([file.name], pool)


def _declare(message: DescriptorProto, field: str) -> None:
    """Adds a field, written as in a .proto file, to the description of a message."""
    parts = _FIELD.fullmatch(field)
    if parts is None:
        raise ValueError(
            f"A field of {message.name} must be written as in a .proto file, such as "
            f"'repeated Dim dim = 2'; got {field!r}."
        )
    kind, type_name, name, number = parts.groups()
    if kind and kind.startswith("map"):  # a map is a repeated message of a key and a value
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _declare(entry, "string key = 1")
        _declare(entry, f"{type_name} value = 2")
        type_name = f"{message.name}.{entry.name}"
    declared = message.field.add(name=name, number=int(number))
    declared.label = getattr(FieldDescriptorProto, "LABEL_REPEATED" if kind else "LABEL_OPTIONAL")
    if type_name[0].isupper():
        declared.type, declared.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{type_name}"
    else:
        declared.type = getattr(FieldDescriptorProto, f"TYPE_{type_name.upper()}")


_CLASSES = classes_of(DECLARED)
OpList = _CLASSES["OpList"]
MetaGraphDef = _CLASSES["MetaGraphDef"]
PredictionLog = _CLASSES["PredictionLog"]
