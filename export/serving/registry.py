"""Which operators a TensorFlow Serving has, and whether a SavedModel needs others.

`operators.json` holds the operators of several TensorFlows with their attributes, read out of the
wheels by `python -m keras_s2s.export.serving.registry SITE… > operators.json`, where each SITE is a
folder that a wheel was unpacked in; the first also holds `tensorflow_text`. A stock server links
all operators of its TensorFlow, and those of TensorFlow Text that its version pins.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_s2s.export.errors import ExportError
from keras_s2s.export.serving.c_api import TEXT_LIBRARIES, Library

TARGET = "2.20"
NEWEST = (2, 21)

# From which server on the operators of TensorFlow Text are there: the Text that each branch of
# tensorflow/serving pins in tensorflow_serving/workspace.bzl, and the list `ops_lib` in that
# Text's BUILD. What is not named came with 2.12's.
TEXT_SINCE = {
    "2.3": (
        *("SentencepieceOp", "SentencepieceTokenizeOp", "SentencepieceTokenizeWithOffsetsOp"),
        *("SentencepieceDetokenizeOp", "SentencepieceIdToStringOp", "SentencepieceStringToIdOp"),
        *("SentencepieceVocabSizeOp", "CaseFoldUTF8", "NormalizeUTF8", "RegexSplitWithOffsets"),
        *("WordpieceTokenizeWithOffsets", "WhitespaceTokenizeWithOffsets"),
        "UnicodeScriptTokenizeWithOffsets",
    ),
    "2.4": ("NormalizeUTF8WithOffsetsMap", "FindSourceOffsets"),
    "2.11": (
        "TFText>WhitespaceTokenizeWithOffsetsV2",
        "FastWordpieceTokenizeWithOffsets",
        "TFText>FastWordpieceDetokenize",
    ),
    "2.20": ("TFText>RoundRobinTrim", "TFText>RoundRobinGenerateMasks", "TFText>Utf8Binarize"),
}
TEXT_OTHERWISE = "2.12"
# Operators of TensorFlow that run with the trainer's Python alone, on GPUs alone, or through XLA,
# which servers do not use unless told to.
NOT_SERVED = ("PyFunc", "EagerPyFunc", "Cudnn", "Xla")
MUST_COMPILE = "_XlaMustCompile"


class Use(NamedTuple):
    """An operator in a graph, with the attributes that stand there."""

    operator: str
    attributes: tuple[str, ...]


def check_server(server: str) -> tuple[int, ...]:
    """The version as numbers.

    Raises:
        ValueError: If it is none, or if nothing is known of it.
    """
    parts = server.split(".")
    number = tuple(int(part) for part in parts[:2] if part.isdecimal())
    oldest = _number(min(_lists()["tensorflow"], key=_number))
    if len(number) != 2 or not oldest <= number <= NEWEST:
        raise ValueError(
            f"`server` must be a version of TensorFlow Serving from {_text(oldest)} to "
            f"{_text(NEWEST)}; got {server!r}."
        )
    return number


def check_operators(folder: Path, server: str = TARGET) -> None:
    """Refuses a SavedModel that a server could not load or run.

    Args:
        folder: the SavedModel's folder.
        server: version of TensorFlow Serving, as '2.20'.

    Raises:
        ExportError: If an operator, or an attribute of one, is not in that server; all are named.
        ValueError: If nothing is known of that server.
    """
    missing = missing_operators((folder / "saved_model.pb").read_bytes(), server)
    if missing:
        raise ExportError(
            f"The SavedModel needs what a stock TensorFlow Serving {server} lacks: "
            f"{', '.join(missing)}. Write custom parts with TensorFlow's own operations, without "
            "Python functions, cuDNN layers or XLA, or name a newer server (--server)."
        )


def missing_operators(saved_model: bytes, server: str = TARGET) -> list[str]:
    """What a serialized SavedModel needs and a server lacks: a phrase for each operator."""
    known = operators(server)
    found = set()
    for use in operators_in(saved_model):
        lacking = [name for name in use.attributes if name == MUST_COMPILE]
        if use.operator.startswith(NOT_SERVED) or use.operator not in known:
            found.add(use.operator)
            continue
        own = known[use.operator]
        lacking += [name for name in use.attributes if name[:1] != "_" and name not in own]
        found.update(f"{use.operator} with the attribute {name}" for name in lacking)
    return sorted(found)


@functools.cache
def operators(server: str = TARGET) -> dict[str, frozenset[str]]:
    """Every operator of a server with its attributes."""
    version = check_server(server)
    lists = _lists()
    known: dict[str, list[str]] = {}
    for name, changes in lists["tensorflow"].items():  # oldest first
        if _number(name) <= version:
            known |= changes["added"]
            for gone in changes["removed"]:
                del known[gone]
    since = {name: first for first, names in TEXT_SINCE.items() for name in names}
    for name, attributes in lists["tensorflow_text"].items():
        if _number(since.get(name, TEXT_OTHERWISE)) <= version:
            known[name] = attributes
    return {name: frozenset(attributes) for name, attributes in known.items()}


def operators_in(saved_model: bytes) -> Iterator[Use]:
    """Every use of an operator in a serialized SavedModel, in functions too.

    Raises:
        ValueError: If it is no SavedModel.
    """
    # A program that reads the operators of another TensorFlow must not import the installed one.
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        meta_graphs = SavedModel.FromString(saved_model).meta_graphs
    except DecodeError as error:
        raise ValueError(f"This is no SavedModel: {error}") from error
    for graph in (meta_graph.graph_def for meta_graph in meta_graphs):
        functions = graph.library.function
        own = {function.signature.name for function in functions}
        nodes = list(graph.node)
        for function in functions:
            nodes += function.node_def
            if _must_compile(function.attr):
                yield Use("PartitionedCall", (MUST_COMPILE,))
        for node in nodes:
            if node.op not in own:  # a function may be called by its name
                names = set(node.attr)
                if not _must_compile(node.attr):
                    names.discard(MUST_COMPILE)
                yield Use(node.op, tuple(sorted(names)))


def _must_compile(attributes: Mapping[str, Any]) -> bool:
    return MUST_COMPILE in attributes and bool(attributes[MUST_COMPILE].b)


@functools.cache
def _lists() -> dict:
    path = Path(__file__).with_name("operators.json")
    found: dict = json.loads(path.read_text(encoding="utf-8"))
    return found


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


# Making `operators.json`.


def _write_lists(sites: Sequence[str]) -> None:
    """Prints the lists of the TensorFlows in these folders, each read in a program of its own."""
    read = [
        json.loads(
            subprocess.check_output(
                [sys.executable, "-m", "keras_s2s.export.serving.registry", "--one", site]
            )
        )
        for site in sites
    ]
    versions: dict[str, dict] = {}
    before: dict[str, list[str]] = {}
    for found in sorted(read, key=lambda found: _number(found["version"])):
        now = found["tensorflow"]
        added = {name: now[name] for name in sorted(now) if before.get(name) != now[name]}
        removed = sorted(set(before) - set(now))
        versions[found["version"]] = {"added": added, "removed": removed}
        before = now
    lists = {"tensorflow": versions, "tensorflow_text": read[0]["tensorflow_text"]}
    text = json.dumps(lists, indent=0)
    print(re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text))


def _read_one(site: Path) -> None:
    """Prints the operators in one folder, those of TensorFlow Text apart."""
    every = [path.stem.removeprefix("_") for path in (site / TEXT_LIBRARIES).glob("_*.so")]
    library = Library(site, leave_out=every)
    core = library.operators()
    library.load_text()
    text = {name: own for name, own in sorted(library.operators().items()) if name not in core}
    print(json.dumps({"version": library.version, "tensorflow": core, "tensorflow_text": text}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _read_one(Path(sys.argv[2]))
    else:
        _write_lists(sys.argv[1:])
