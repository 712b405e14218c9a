"""The tasks of copying and reversing: the target has the source's random ids, or their reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

PAD, START, END, FIRST = 0, 2, 3, 4  # FIRST is the first id that is a symbol
TASKS = ("copy", "reverse")
EVALUATION_SEED = 987654321  # makes the sequences that models are measured on; no training uses it


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
        """The inputs of `Seq2Seq`, whose decoder reads the true tokens."""
        return {"source_ids": self.source, "target_ids": self.target[:, :-1]}

    @property
    def labels(self) -> np.ndarray:
        """The ids `(N, S + 1)` that the model should predict."""
        return self.target[:, 1:]


def pairs(
    task: str, count: int, length: int, symbols: int, generator: np.random.Generator
) -> Pairs:
    """Returns `count` pairs of `length` independent, uniform symbols."""
    if task not in TASKS:
        raise ValueError(f"`task` must be one of {', '.join(map(repr, TASKS))}; got task={task!r}.")
    source = generator.integers(FIRST, FIRST + symbols, (count, length)).astype("int32")
    symbols_out = source if task == "copy" else source[:, ::-1]
    target = np.pad(symbols_out, ((0, 0), (1, 1)), constant_values=((0, 0), (START, END)))
    return Pairs(source, target)


def batches(
    task: str, steps: int, size: int, longest: int, symbols: int, seed: int
) -> Iterator[Pairs]:
    """Yields `steps` batches of new pairs; a batch has one length, drawn from 1 to `longest`."""
    generator = np.random.default_rng(seed)
    for _ in range(steps):
        yield pairs(task, size, int(generator.integers(1, longest + 1)), symbols, generator)
