"""Measures what a step of a search costs beside the model, by width, vocabulary, length, controls.

There is no model: a step looks up a row of a table. In every case these take turns:

- `search`: the whole search, divided by its steps; no sentence ends before `max_length`.
- `look_up`: a loop that only looks up rows, in the place of a model.
- `limit`: the same with `log_softmax` and TensorFlow's `top_k` of the width, which a search by the
  book cannot do without.
- `sort`: the same with all logits sorted, on request, for comparison.

Times are the least of several runs, in milliseconds a step, because other work on the machine only
adds to a time. `_ms` is wall-clock time, and `_cpu_ms` the processor time of all threads, which
other work disturbs less. `overhead` is `(search − look_up) / (limit − look_up)` in processor time.

    python benchmarks/search.py --output benchmarks/search.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

from keras_s2s import BeamSearch, GreedySearch
from keras_s2s.system.machine import machine, versions

ROWS = 64  # of the table; tokens lead from one to another
END = 3


class Case(NamedTuple):
    """One search over one table.

    Attributes:
        name: what the case is about.
        width: beams; 1 is greedy.
        vocabulary: logits a step.
        max_length: steps.
        source: positions of attention weights that are kept, 0 for none.
        controls: further settings of the search.
        forbidden: phrases of two tokens, for every sentence.
        batch: sentences.
    """

    name: str
    width: int
    vocabulary: int
    max_length: int = 50
    source: int = 0
    controls: Mapping[str, Any] = MappingProxyType({})
    forbidden: int = 0
    batch: int = 8


def cases() -> Iterator[Case]:
    """The cases, smallest first within a name."""
    for width in (1, 4, 16):
        for vocabulary in (1000, 8000, 50000):
            yield Case("width and vocabulary", width, vocabulary)
    kinds: dict[str, dict[str, Any]] = {
        "length": {},
        "length, weights kept": {"source": 50},
        "length, no repeated trigrams": {"controls": {"no_repeat_ngram": 3}},
        "length, repetition penalty": {"controls": {"repetition_penalty": 1.2}},
        "length, forbidden phrases": {"forbidden": 5},
    }
    for name, options in kinds.items():
        for max_length in (50, 100, 200, 400):
            yield Case(name, 4, 8000, max_length, **options)


class Table:
    """Random logits; the end is so improbable that no hypothesis takes it before it must."""

    def __init__(self, case: Case) -> None:
        draw = np.random.default_rng(0)
        logits = draw.normal(0, 2, (ROWS, case.vocabulary)).astype("float32")
        logits[:, END] = -50
        weights = draw.random((ROWS, max(case.source, 1))).astype("float32")
        self.logits, self.weights = ops.convert_to_tensor(logits), ops.convert_to_tensor(weights)

    def step(self, tokens: Any, state: Any) -> tuple[Any, Any, Any]:
        """Logits of each row, by its token."""
        place = tokens % ROWS
        return ops.take(self.logits, place, axis=0), state, ops.take(self.weights, place, axis=0)


def search_of(case: Case, table: Table) -> Callable[[Any], Any]:
    """The search as a function of the source mask."""
    if case.width == 1:
        search: Any = GreedySearch(case.max_length, **case.controls)
    else:
        search = BeamSearch(case.width, 0.0, max_length=case.max_length, **case.controls)
    phrases = np.random.default_rng(1).integers(4, case.vocabulary, (1, case.forbidden, 2))

    def run(mask: Any) -> Any:
        batch = ops.shape(mask)[0]
        forbidden = None
        if case.forbidden:
            forbidden = ops.broadcast_to(
                ops.convert_to_tensor(phrases.astype("int32")), (batch, case.forbidden, 2)
            )
        found = search(
            table.step,
            (),
            batch_size=batch,
            source_mask=mask,
            keep_weights=case.source > 0,
            forbidden=forbidden,
        )
        return [part for part in found if part is not None]

    return run


def floor_of(case: Case, table: Table, count: int) -> Callable[[Any], Any]:
    """A loop that looks up rows and takes log-softmax and the `count` best of each, 0 for none."""

    def run(mask: Any) -> Any:
        rows = ops.shape(mask)[0] * case.width

        def body(t: Any, tokens: Any) -> tuple[Any, Any]:
            logits, _, _ = table.step(tokens, ())
            if count:
                best, ids = ops.top_k(ops.log_softmax(logits), count)
                tokens = ops.cast(ids[:, -1], "int32") + ops.cast(best[:, 0] > 0, "int32")
            else:  # reads one logit, so that the row is looked up
                tokens = tokens + 1 + ops.cast(logits[:, 0] > 99, "int32")
            return t + 1, tokens

        start = (ops.convert_to_tensor(0), ops.full((rows,), 2, dtype="int32"))
        return ops.while_loop(
            lambda t, tokens: t < case.max_length, body, start, maximum_iterations=case.max_length
        )

    return run


def measure(case: Case, repeats: int, sort: bool) -> dict[str, Any]:
    """Milliseconds a step of search, look-up, limit and, with `sort`, of sorting."""
    import tensorflow as tf

    table = Table(case)
    mask = tf.ones((case.batch, max(case.source, 1)), tf.bool)
    runs = {
        "search": search_of(case, table),
        "look_up": floor_of(case, table, 0),
        "limit": floor_of(case, table, case.width),
    }
    if sort:
        runs["sort"] = floor_of(case, table, case.vocabulary)
    signature = [tf.TensorSpec((None, None), tf.bool)]
    programs = {name: tf.function(run, input_signature=signature) for name, run in runs.items()}
    lengths = np.asarray(programs["search"](mask)[1])
    if (lengths != case.max_length).any():
        raise RuntimeError(f"Every hypothesis should fill {case.max_length} steps; got {lengths}.")
    wall = dict.fromkeys(programs, float("inf"))
    processor = dict(wall)
    for turn in range(repeats + 1):
        for name, program in programs.items():
            if name == "sort" and turn > 2:
                continue
            begin = time.perf_counter(), time.process_time()
            program(mask)
            taken = time.perf_counter() - begin[0], time.process_time() - begin[1]
            if turn:  # the first traces
                wall[name] = min(wall[name], taken[0])
                processor[name] = min(processor[name], taken[1])
    steps = case.max_length / 1000
    found = {f"{name}_ms": round(seconds / steps, 4) for name, seconds in wall.items()}
    found |= {f"{name}_cpu_ms": round(seconds / steps, 4) for name, seconds in processor.items()}
    limit = processor["limit"] - processor["look_up"]
    found["overhead"] = round((processor["search"] - processor["look_up"]) / limit, 2)
    return found


def about() -> dict[str, Any]:
    """Machine, versions and commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return {
        "backend": keras.backend.backend(),
        "versions": versions(("keras", "tensorflow", "numpy")),
        "python": platform.python_version(),
        **machine(),
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, help="file of JSON lines; standard output if omitted"
    )
    parser.add_argument("--repeats", type=int, default=7, help="runs of which the least counts")
    parser.add_argument("--sort", action="store_true", help="also time sorting all logits")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    given = parser.parse_args()
    origin = about()
    lines = []
    for case in cases():
        if given.only not in case.name:
            continue
        settings = case._asdict() | {"controls": dict(case.controls)}
        measured = measure(case, given.repeats, given.sort)
        lines.append(json.dumps({"benchmark": "search", **settings, **measured, **origin}))
        print(lines[-1] if given.output is None else f"{case}: {measured}", flush=True)
    if given.output is not None:
        given.output.write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
