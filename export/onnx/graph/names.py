"""Walks through ONNX graphs and renames their values, in the graphs inside loops too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yields the graphs that a node holds: the body of a Loop, the branches of an If."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yields the graph and all graphs inside it, outer ones first."""
    yield graph
    for node in graph.node:
        for body in bodies(node):
            yield from graphs(body)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields all nodes of the graph, also those inside loops."""
    for part in graphs(graph):
        yield from part.node


def defined(graph: onnx.GraphProto) -> Iterator[str]:
    """Yields the names that this graph itself defines: inputs, constants, results of nodes."""
    yield from (value.name for value in graph.input)
    yield from (constant.name for constant in graph.initializer)
    for node in graph.node:
        yield from filter(None, node.output)


def used(graph: onnx.GraphProto) -> Iterator[str]:
    """Yields the names that this graph, or a graph inside it, reads."""
    for part in graphs(graph):
        for node in part.node:
            yield from node.input
        yield from (value.name for value in part.output)


def rename_uses(graph: onnx.GraphProto, source: str, target: str) -> None:
    """Lets all nodes of a graph, also inner ones, read `target` where they read `source`."""
    for node in nodes(graph):
        for place, name in enumerate(node.input):
            if name == source:
                node.input[place] = target


def rename_all(graph: onnx.GraphProto, new_name: Callable[[str], str]) -> None:
    """Gives every value a new name wherever it is defined, read or described.

    Unlike `onnx.compose.add_prefix` (1.23), this reaches what a loop body reads of the surrounding
    constants.
    """
    for part in graphs(graph):
        for values in (part.input, part.output, part.initializer, part.value_info):
            for value in values:
                value.name = new_name(value.name)
        for node in part.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    # "" stands for an optional input or output that is left out.
                    names[place] = new_name(name) if name else ""


def remove_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes, constants and shapes that nothing reads, inner graphs included."""
    names_read = {value.name for value in graph.output}
    remaining = []
    for node in reversed(graph.node):
        if names_read.isdisjoint(node.output):
            continue
        remaining.append(node)
        names_read.update(node.input)
        for body in bodies(node):
            remove_unused(body)
            names_read.update(used(body))
    replace_nodes(graph, remaining[::-1])
    for values in (graph.initializer, graph.value_info):
        for place in reversed(range(len(values))):
            if values[place].name not in names_read:
                del values[place]


def replace_nodes(graph: onnx.GraphProto, new: list[onnx.NodeProto]) -> None:
    """Replaces the nodes of a graph by `new`, which may hold some of the present ones."""
    copies = [copied(node) for node in new]
    del graph.node[:]
    graph.node.extend(copies)


def copied(node: onnx.NodeProto) -> onnx.NodeProto:
    """Returns a copy of a node, which stays as it is when the node's graph changes."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
