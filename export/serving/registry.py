"""Knows which operators each TensorFlow Serving has, and refuses a SavedModel that needs others.

`operators.json` holds the operators of several TensorFlow versions with their attributes. The
command `python -m keras_s2s.export.serving.registry SITE… > operators.json` reads them from the
wheels, where each SITE is a folder with an unpacked wheel of TensorFlow; the first also holds
`tensorflow_text`. A stock server links all operators of its TensorFlow, and those of the TensorFlow
Text that its version pins.
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

TARGET = "2.20"  # the server that an export is made for unless the caller names another
NEWEST = (2, 21)  # the newest server whose operators are known

# The first server that has each operator of TensorFlow Text. Sources: the version of Text that each
# branch of tensorflow/serving pins in tensorflow_serving/workspace.bzl, and the list `ops_lib` in
# that version's BUILD. Operators that are not named here came with the Text of server 2.12.
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
# Beginnings of the names of operators that need the trainer's Python, a GPU, or XLA, which servers
# do not use by default.
NOT_SERVED = ("PyFunc", "EagerPyFunc", "Cudnn", "Xla")
MUST_COMPILE = "_XlaMustCompile"


class Use(NamedTuple):
    """A use of an operator in a graph, with the attributes that are set there."""

    operator: str
    attributes: tuple[str, ...]


def check_server(server: str) -> tuple[int, ...]:
    """Returns the version of a server as numbers.

    Raises:
        ValueError: If the text is not a version, or if the operators of that server are unknown.
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
        server: version of TensorFlow Serving, such as '2.20'.

    Raises:
        ExportError: If that server lacks an operator, or an attribute of one; the message names
            all of them.
        ValueError: If the operators of that server are unknown.
    """
    missing = missing_operators((folder / "saved_model.pb").read_bytes(), server)
    if missing:
        raise ExportError(
            f"The SavedModel needs operators that a stock TensorFlow Serving {server} lacks: "
            f"{', '.join(missing)}. Write custom parts with TensorFlow's own operations, without "
            "Python functions, cuDNN layers or XLA, or name a newer server (--server)."
        )


def missing_operators(saved_model: bytes, server: str = TARGET) -> list[str]:
    """Returns a phrase for each operator that a serialized SavedModel needs and a server lacks."""
    available = operators(server)
    phrases = set()
    for use in operators_in(saved_model):
        lacking_attributes = [name for name in use.attributes if name == MUST_COMPILE]
        if use.operator.startswith(NOT_SERVED) or use.operator not in available:
            phrases.add(use.operator)
            continue
        attributes = available[use.operator]
        lacking_attributes += [
            name for name in use.attributes if name[:1] != "_" and name not in attributes
        ]
        phrases.update(f"{use.operator} with the attribute {name}" for name in lacking_attributes)
    return sorted(phrases)


@functools.cache
def operators(server: str = TARGET) -> dict[str, frozenset[str]]:
    """Returns the attributes of every operator of a server, by the operator's name."""
    version = check_server(server)
    lists = _lists()
    attributes_of: dict[str, list[str]] = {}
    for name, changes in lists["tensorflow"].items():  # oldest first
        if _number(name) <= version:
            attributes_of |= changes["added"]
            for removed in changes["removed"]:
                del attributes_of[removed]
    since = {name: first for first, names in TEXT_SINCE.items() for name in names}
    for name, attributes in lists["tensorflow_text"].items():
        if _number(since.get(name, TEXT_OTHERWISE)) <= version:
            attributes_of[name] = attributes
    return {name: frozenset(attributes) for name, attributes in attributes_of.items()}


def operators_in(saved_model: bytes) -> Iterator[Use]:
    """Yields every use of an operator in a serialized SavedModel, also in its functions.

    Raises:
        ValueError: If the bytes are not a SavedModel.
    """
    # A process that reads the operators of another TensorFlow must not import the installed one.
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        meta_graphs = SavedModel.FromString(saved_model).meta_graphs
    except DecodeError as error:
        raise ValueError(
            f"`saved_model` must be a serialized SavedModel; it cannot be parsed: {error}"
        ) from error
    for graph in (meta_graph.graph_def for meta_graph in meta_graphs):
        functions = graph.library.function
        function_names = {function.signature.name for function in functions}
        nodes = list(graph.node)
        for function in functions:
            nodes += function.node_def
            if _must_compile(function.attr):
                yield Use("PartitionedCall", (MUST_COMPILE,))
        for node in nodes:
            if node.op not in function_names:  # a node may call a function by its name
                names = set(node.attr)
                if not _must_compile(node.attr):
                    names.discard(MUST_COMPILE)
                yield Use(node.op, tuple(sorted(names)))


def _must_compile(attributes: Mapping[str, Any]) -> bool:
    return MUST_COMPILE in attributes and bool(attributes[MUST_COMPILE].b)


@functools.cache
def _lists() -> dict:
    path = Path(__file__).with_name("operators.json")
    lists: dict = json.loads(path.read_text(encoding="utf-8"))
    return lists


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


# The functions below write `operators.json`.


def _write_lists(sites: Sequence[str]) -> None:
    """Prints the operators of the TensorFlow in each folder, each read in its own process."""
    contents = [
        json.loads(
            subprocess.check_output(
                [sys.executable, "-m", "keras_s2s.export.serving.registry", "--one", site]
            )
        )
        for site in sites
    ]
    versions: dict[str, dict] = {}
    before: dict[str, list[str]] = {}
    for content in sorted(contents, key=lambda content: _number(content["version"])):
        now = content["tensorflow"]
        added = {name: now[name] for name in sorted(now) if before.get(name) != now[name]}
        removed = sorted(set(before) - set(now))
        versions[content["version"]] = {"added": added, "removed": removed}
        before = now
    lists = {"tensorflow": versions, "tensorflow_text": contents[0]["tensorflow_text"]}
    text = json.dumps(lists, indent=0)
    print(re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match[0].split()), text))


def _read_one(site: Path) -> None:
    """Prints the operators of the TensorFlow in a folder, and separately those of its Text."""
    text_libraries = [path.stem.removeprefix("_") for path in (site / TEXT_LIBRARIES).glob("_*.so")]
    library = Library(site, leave_out=text_libraries)
    core = library.operators()
    library.load_text()
    text = {
        name: attributes
        for name, attributes in sorted(library.operators().items())
        if name not in core
    }
    print(json.dumps({"version": library.version, "tensorflow": core, "tensorflow_text": text}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _read_one(Path(sys.argv[2]))
    else:
        _write_lists(sys.argv[1:])
