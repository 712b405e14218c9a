"""Finds the largest logits of each row in the body of an ONNX loop."""

from __future__ import annotations

import numpy as np

from keras_s2s.export.onnx.loops.search import SearchLoop
from keras_s2s.search.state.prediction import CHUNK

CHUNKED = 16  # number of chunks in a vocabulary from which on the search by chunks is used


def largest_columns(loop: SearchLoop, logits: str, count: str) -> str:
    """Adds nodes that find the columns of the largest logits of each row.

    TopK over all columns takes as long as a tenth of the output layer's product. As in
    `search.state.prediction.largest`, TopK therefore reads only the k chunks of 64 columns with the
    largest maxima: those hold the k largest numbers.

    Args:
        loop: the search that the nodes are for; they go into its body.
        logits: name of the logits `(R, V)`.
        count: name of the number k of columns, `(1,)`.

    Returns:
        The name of the columns `(R, k)`, the largest first; of equal logits the first comes first.
    """
    nodes, body, vocabulary = loop.nodes, loop.body, loop.parts.vocabulary
    if vocabulary < CHUNKED * CHUNK:
        return body.add_all("TopK", [logits, count], 2)[1]
    chunks = -(-vocabulary // CHUNK)
    behind = chunks * CHUNK - vocabulary
    if behind:
        pads = nodes.constant([0, 0, 0, behind])
        logits = body.add("Pad", [logits, pads, nodes.constant(-np.inf)])
    by_chunk = body.add("Reshape", [logits, nodes.constant([-1, chunks, CHUNK])])
    chunk = nodes.constant(CHUNK)
    few = nodes.add("Min", [count, nodes.constant([chunks])])
    maxima = body.add("ReduceMax", [by_chunk, loop.minus], keepdims=0)  # (R, chunks)
    best = body.add_all("TopK", [maxima, few], 2)[1]
    best = body.add_all("TopK", [best, few], 2, largest=0)[0]  # in the order of their columns
    chosen = body.add("Unsqueeze", [best, loop.minus])
    within = body.add("GatherND", [by_chunk, chosen], batch_dims=1)  # (R, few, CHUNK)
    rows = nodes.add("Concat", [loop.minus, nodes.add("Mul", [few, chunk])], axis=0)
    places = body.add_all("TopK", [body.add("Reshape", [within, rows]), count], 2)[1]
    best = body.add("GatherElements", [best, body.add("Div", [places, chunk])], axis=1)
    columns = body.add("Mul", [best, chunk])
    columns = body.add("Add", [columns, body.add("Mod", [places, chunk])])
    # Where logits are NaN, TopK may have chosen a column behind the last.
    return body.add("Min", [columns, nodes.constant([vocabulary - 1])])
