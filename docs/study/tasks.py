"""Copying and reversing: random ids in, the same ids out in the same or the opposite order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

PAD, START, END, FIRST = 0, 2, 3, 4  # FIRST: the first id that is a symbol
TASKS = ("copy", "reverse")
EVALUATION_SEED = 987654321  # of the sequences every model is measured on; no training uses it


class Pairs(NamedTuple):
    """Sequences of one length, without padding.

    Attributes:
        source: `(N, S)` int32, symbols only.
        target: `(N, S + 2)` int32: start, the symbols copied or reversed, end.
    """

    source: np.ndarray
    target: np.ndarray

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """What `Seq2Seq` takes, the decoder reading the true tokens."""
        return {"source_ids": self.source, "target_ids": self.target[:, :-1]}

    @property
    def labels(self) -> np.ndarray:
        """What it is to predict: `(N, S + 1)`."""
        return self.target[:, 1:]


def pairs(
    task: str, count: int, length: int, symbols: int, generator: np.random.Generator
) -> Pairs:
    """`count` pairs of `length` independent, uniform symbols."""
    if task not in TASKS:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, TASKS))}; got task={task!r}.")
    source = generator.integers(FIRST, FIRST + symbols, (count, length)).astype("int32")
    symbols_out = source if task == "copy" else source[:, ::-1]
    target = np.pad(symbols_out, ((0, 0), (1, 1)), constant_values=((0, 0), (START, END)))
    return Pairs(source, target)


def batches(
    task: str, steps: int, size: int, longest: int, symbols: int, seed: int
) -> Iterator[Pairs]:
    """`steps` batches of fresh pairs; all of a batch have one length, drawn from 1 to `longest`."""
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        yield pairs(task, size, int(generator.integers(1, longest + 1)), symbols, generator)
