"""Measures how time per target token and memory grow with each size of a model.

The sizes are source length, batch, vocabulary and depth. One at a time is changed from a base.
Every point is a process of its own, which takes training steps and then searches greedily in
another graph. The script prints a table of exponents and writes a JSON line for each point, and
with `--plot` it draws them in log-log plots.

    python benchmarks/growth.py --output growth.jsonl --plot growth.png
    python benchmarks/growth.py --read growth.jsonl --plot growth.png     # measures nothing

On a machine that does other work give `--clock processor`: exponents are then those of the
processor time of all cores together.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE = {"source": 25, "batch": 64, "vocabulary": 8000, "depth": 1}
FIXED = {"target": 25, "embedding": 128, "units": 256}
AXES = {
    "source": [10, 25, 50, 100, 200, 400],
    "batch": [8, 16, 32, 64, 128, 256],
    "vocabulary": [1000, 3000, 8000, 30000, 100000],
    "depth": [1, 2, 3, 4],
}
NAMES = {
    "source": "source length",
    "batch": "sentences in a batch",
    "vocabulary": "vocabulary",
    "depth": "layers on each side",
}
TIMES = {"training": "training, µs a target token", "greedy": "greedy search, µs a target token"}
MEMORY = {"training_mib": "memory of training, MiB"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--seconds", type=float, default=3.0, help="timed for each point, at least")
    parser.add_argument("--output", type=Path, help="file to append the JSON lines to")
    parser.add_argument("--plot", type=Path, help="PNG, SVG or PDF to write")
    parser.add_argument("--read", type=Path, help="JSON lines to take in place of measuring")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(json.loads(arguments.one), arguments.seconds)))
        return
    if arguments.read:
        lines = arguments.read.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
    else:
        records = measured(arguments.axes, arguments.seconds, arguments.output)
    times = {f"{name}_{arguments.clock}_us": meaning for name, meaning in TIMES.items()}
    print_table(records, {**times, **MEMORY})
    if arguments.plot:
        draw(records, times, arguments.plot)


def measured(axes: list[str], seconds: float, output: Path | None) -> list[dict[str, Any]]:
    """One record for each point, written as soon as it is there; the base is run once."""
    points: dict[str, dict[str, int]] = {}
    for axis in axes:
        for value in AXES[axis]:
            sizes = {**BASE, axis: value}
            points[json.dumps(sizes)] = sizes
    records = []
    for sizes in points.values():
        command = [sys.executable, "-W", "ignore", __file__, "--seconds", str(seconds)]
        done = subprocess.run(
            [*command, "--one", json.dumps(sizes)], check=True, stdout=subprocess.PIPE, text=True
        )
        record = json.loads(done.stdout)
        print(" ".join(f"{k}={v}" for k, v in record.items() if k not in ("machine", "time")))
        records.append(record)
        if output:
            with output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
    return records


def one(sizes: dict[str, int], seconds: float) -> dict[str, Any]:
    """A point: trains and searches, all rows as long as each other."""
    import keras
    import numpy as np
    import tensorflow as tf
    from turns import machine

    import keras_s2s as s2s

    before = _peak()
    vocabulary, batch, target = sizes["vocabulary"], sizes["batch"], FIXED["target"]
    shared = {
        "vocabulary_size": vocabulary,
        "embedding_size": FIXED["embedding"],
        "depth": sizes["depth"],
    }
    units = FIXED["units"]
    model = s2s.Seq2Seq(s2s.Encoder(**shared, units=units // 2), s2s.Decoder(**shared, units=units))
    model.compile(weighted_metrics=[])
    rng = np.random.default_rng(1)
    source = tf.constant(rng.integers(4, vocabulary, (batch, sizes["source"])), tf.int32)
    ids = rng.integers(4, vocabulary, (batch, target + 1))
    inputs = {"source_ids": source, "target_ids": tf.constant(ids[:, :-1], tf.int32)}
    labels = tf.constant(ids[:, 1:], tf.int32)
    training = _median_of(lambda: model.train_on_batch(inputs, labels), seconds)
    trained = _peak()
    searching = tf.function(model.inference_model(s2s.GreedySearch(max_length=target)))
    steps = int(searching(source).lengths.numpy().max())  # fewer where all rows end before
    greedy = _median_of(lambda: searching(source).lengths.numpy(), seconds)
    return {
        "benchmark": "growth",
        **sizes,
        **FIXED,
        **{f"training_{clock}_us": _micro(s, batch * target) for clock, s in training.items()},
        **{f"greedy_{clock}_us": _micro(s, batch * steps) for clock, s in greedy.items()},
        "greedy_steps": steps,
        "training_mib": round(trained - before),
        "imports_mib": round(before),
        "parameters": model.count_params(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "machine": machine(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _peak() -> float:
    """MiB that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _micro(seconds: float, tokens: int) -> float:
    return round(seconds / tokens * 1e6, 2)


def _median_of(step: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Seconds of a step by either clock, after two steps that trace and fill caches."""
    for _ in range(2):
        step()
    wall: list[float] = []
    processor: list[float] = []
    while len(wall) < 3 or sum(wall) < seconds:
        processor_start, start = time.process_time(), time.perf_counter()
        step()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - processor_start)
    return {"wall": statistics.median(wall), "processor": statistics.median(processor)}


def line_of(records: list[dict[str, Any]], axis: str, quantity: str) -> tuple[list[Any], list[Any]]:
    """The points of one axis, all other sizes being those of the base."""
    others = {name: value for name, value in BASE.items() if name != axis}
    chosen = [r for r in records if all(r[name] == value for name, value in others.items())]
    chosen.sort(key=lambda record: record[axis])
    return [record[axis] for record in chosen], [record[quantity] for record in chosen]


def exponent(x: list[Any], y: list[Any]) -> float:
    """The `k` of `y ∝ x^k`, by least squares of the logarithms."""
    logs = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True)]
    middle = [statistics.mean(side) for side in zip(*logs, strict=True)]
    over = sum((a - middle[0]) * (b - middle[1]) for a, b in logs)
    return over / sum((a - middle[0]) ** 2 for a, _ in logs)


def print_table(records: list[dict[str, Any]], quantities: dict[str, str]) -> None:
    print(f"{'':22}{'':34}{'exponent':>9}{'at the end':>12}   values")
    for axis, name in NAMES.items():
        for quantity, meaning in quantities.items():
            x, y = line_of(records, axis, quantity)
            if len(x) < 2:
                continue
            values = ", ".join(f"{a:,}: {b:g}" for a, b in zip(x, y, strict=True))
            ends = f"{exponent(x, y):9.2f}{exponent(x[-2:], y[-2:]):12.2f}"
            print(f"{name:22}{meaning:34}{ends}   {values}")


def draw(records: list[dict[str, Any]], times: dict[str, str], path: Path) -> None:
    """One column for each axis, time above and memory below, with the fitted exponents."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes_here = [axis for axis in AXES if len(line_of(records, axis, "training_mib")[0]) > 1]
    figure = Figure(figsize=(4.2 * len(axes_here), 7.6), layout="constrained")
    panels = figure.subplots(2, len(axes_here), squeeze=False, sharey="row")
    plain = FuncFormatter(lambda value, _: f"{value:,.0f}")
    colors = iter(["tab:blue", "tab:orange", "tab:green"])
    color_of = {quantity: next(colors) for quantity in (*times, *MEMORY)}
    for column, axis in enumerate(axes_here):
        for row, quantities in enumerate((times, MEMORY)):
            panel = panels[row, column]
            for quantity, meaning in quantities.items():
                x, y = line_of(records, axis, quantity)
                power = exponent(x, y)
                last = exponent(x[-2:], y[-2:])
                label = f"{meaning.split(',')[0]}: exponent {power:.2f}, at the end {last:.2f}"
                panel.plot(x, y, "o", color=color_of[quantity], label=label)
                scale = statistics.geometric_mean(b / a**power for a, b in zip(x, y, strict=True))
                panel.plot(x, [scale * a**power for a in x], "--", color=color_of[quantity], lw=1)
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xticks(x, [f"{a:,}" for a in x])
            panel.xaxis.set_minor_locator(NullLocator())
            panel.grid(alpha=0.3, which="both")
            panel.legend(fontsize="small", loc="upper left")
            panel.set_xlabel(NAMES[axis])
    clock = " of processor time" if "processor" in next(iter(times)) else ""
    panels[0, 0].set_ylabel(f"µs{clock} a target token")
    panels[1, 0].set_ylabel("MiB above the imports, at most")
    for row in range(2):
        axis_of_row = panels[row, 0].yaxis
        axis_of_row.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis_of_row.set_minor_locator(NullLocator())
        axis_of_row.set_major_formatter(plain)
        low, high = panels[row, 0].get_ylim()
        panels[row, 0].set_ylim(low, high * (high / low) ** 0.22)  # room for the legends
    sizes = ", ".join(f"{name} {value:,}" for name, value in {**BASE, **FIXED}.items())
    figure.suptitle(f"Growth from a base of {sizes}")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
