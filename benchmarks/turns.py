"""Runs contestants in turn: A B C A B C …, so that other work on the machine affects all of them.

Each step is timed by the wall clock and in processor time. On a machine that does nothing else, the
wall clock counts. On a shared machine, `--threads 1` and the processor time say what a step costs:
there, PyTorch's threads wait for each other at every barrier, and the wall clock measures the other
work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_s2s.system import machine as facts

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"

# Measures the rate of the machine: that of TensorFlow's matrix product at its best size.
MATMUL = """
import sys; sys.path.insert(0, {here!r})
import tensorflow as tf
from contestant import serve
a = tf.random.normal((2048, 2048))
product = tf.function(lambda: tf.matmul(a, a))
serve(lambda: product().numpy(), tensorflow=tf.__version__)
"""
MATMUL_FLOP = 2 * 2048**3

# The threads of a contestant that has finished its turn still ask for work for some 200 ms. Without
# a pause they take a core from the next contestant.
PAUSE = 0.3

# The environment variables that have the effect of `keras_s2s.keep_freed_memory`.
MEMORY_KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**30),
}


def options(description: str) -> argparse.ArgumentParser:
    """Returns a parser with the options that all comparisons have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contestant")
    parser.add_argument("--steps", type=int, default=3, help="steps in a turn")
    parser.add_argument("--output", type=Path, help="file to append the JSON lines to")
    parser.add_argument("--threads", type=int, help="of each contestant; one a core when omitted")
    parser.add_argument(
        "--keep-memory",
        action="store_true",
        help="glibc keeps what is freed, for all contestants, as `keep_freed_memory` does",
    )
    parser.add_argument("--only", nargs="*", help="contestants to run; all when omitted")
    return parser


def compare(
    name: str,
    contestants: Mapping[str, Sequence[str]],
    *,
    baseline: str,
    flop: float,
    shapes: Mapping[str, Any],
    arguments: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Runs all contestants in turn, prints a table, and returns one record for each.

    Args:
        name: name of the benchmark.
        contestants: command of a process that calls `contestant.serve`, by the contestant's name.
        baseline: contestant whose time is divided by the others' times; 2 is twice as fast.
        flop: number of floating-point operations of the matrix products in one step.
        shapes: sizes that the record names.
        arguments: parsed options.
    """
    about, answers, rates = take_turns(contestants, arguments)
    records = []
    for key, turns in answers.items():
        wall, processor = _median(turns, "wall"), _median(turns, "processor")
        records.append(
            {
                "benchmark": name,
                "contestant": key,
                "shapes": dict(shapes),
                "wall_ms": round(wall * 1e3, 2),
                "wall_best_ms": round(min(t for turn in turns for t in turn["wall"]) * 1e3, 2),
                "processor_ms": round(processor * 1e3, 2),
                "gflop": round(flop / 1e9, 3),
                "gflop_per_s": round(flop / wall / 1e9, 1),
                "matmul_gflop_per_s": round(rates["wall"], 1),
                "peak_mib": round(max(turn["peak_mib"] for turn in turns), 1),
                "threads": arguments.threads or os.cpu_count(),
                "memory_kept": arguments.keep_memory,
                "rounds": arguments.rounds,
                "steps": arguments.steps,
                **_ratios(turns, answers.get(baseline), baseline),
                "about": about[key],
                "machine": machine(),
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
        )
    _print(records, baseline)
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return records


def take_turns(
    contestants: Mapping[str, Sequence[str]], arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Runs all contestants in turn, and with them the matrix product that the machine is rated by.

    Args:
        contestants: command of a process that calls `contestant.serve`, by the contestant's name.
        arguments: parsed options.

    Returns:
        The facts that each contestant gave about itself, its answers, one for each round, and the
        rate of the machine in GFLOP/s by each clock, 'wall' and 'processor'.
    """
    chosen = {k: v for k, v in contestants.items() if not arguments.only or k in arguments.only}
    commands = {**chosen, "matmul": python("-c", MATMUL.format(here=str(HERE)))}
    processes = {key: _start(command, arguments) for key, command in commands.items()}
    try:
        about = {key: _answer(key, process) for key, process in processes.items()}
        answers: dict[str, list[dict[str, Any]]] = {key: [] for key in processes}
        print("All are warm; turns begin.", file=sys.stderr)
        for _ in range(arguments.rounds):
            for key, process in processes.items():
                time.sleep(PAUSE)
                print(arguments.steps, file=process.stdin, flush=True)
                answers[key].append(_answer(key, process))
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait(timeout=60)
    products = answers.pop("matmul")
    del about["matmul"]
    rates = {clock: MATMUL_FLOP / _median(products, clock) / 1e9 for clock in ("wall", "processor")}
    return about, answers, rates


def python(*arguments: str) -> list[str]:
    """Returns a command for the interpreter of this environment."""
    return [sys.executable, "-W", "ignore", *arguments]


def torch_python(*arguments: str) -> list[str]:
    """Returns a command for the interpreter of the PyTorch peers' environment."""
    return peer_python("torch", *arguments)


def peer_python(environment: str, *arguments: str) -> list[str]:
    """Returns a command for the interpreter of an environment that `peers/install.sh` makes."""
    interpreter = PEERS / "environments" / environment / "bin" / "python"
    if not interpreter.exists():
        command = f"`benchmarks/peers/install.sh {environment}`"
        raise SystemExit(f"{interpreter} is missing. Make it with {command}.")
    return [str(interpreter), "-W", "ignore", *arguments]


def machine() -> dict[str, Any]:
    """Returns facts about the machine on which the times were measured."""
    return {
        **facts.machine(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def _start(command: Sequence[str], arguments: argparse.Namespace) -> Any:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if arguments.threads is not None:
        for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            environment[variable] = str(arguments.threads)
    if arguments.keep_memory:
        environment |= MEMORY_KEPT
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _answer(key: str, process: Any) -> dict[str, Any]:
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"The contestant {key!r} ended early: exit code {process.wait()}.")
    return json.loads(line)


def _median(turns: Sequence[Mapping[str, Any]], clock: str) -> float:
    return statistics.median(seconds for turn in turns for seconds in turn[clock])


def _ratios(turns: Any, others: Any, baseline: str) -> dict[str, Any]:
    """Returns the baseline's time over this contestant's: the median over rounds of such turns."""
    if others is None:
        return {}

    def ratio(clock: str) -> float:
        pairs = zip(turns, others, strict=True)
        return round(
            statistics.median(
                statistics.median(b[clock]) / statistics.median(a[clock]) for a, b in pairs
            ),
            3,
        )

    return {
        "baseline": baseline,
        "times_as_fast": ratio("wall"),
        "times_as_fast_processor": ratio("processor"),
    }


def _print(records: Sequence[Mapping[str, Any]], baseline: str) -> None:
    first = records[0]
    print(f"{first['benchmark']}  {first['shapes']}  {first['gflop']} GFLOP a step")
    print(f"machine: {first['machine']}  matrix product {first['matmul_gflop_per_s']} GFLOP/s")
    print(f"{'':24}{'wall ms':>10}{'best':>9}{'cpu ms':>9}{'GFLOP/s':>9}{'MiB':>8}  x {baseline}")
    for record in records:
        ratios = f"{record.get('times_as_fast', '')} wall"
        ratios += f", {record.get('times_as_fast_processor', '')} processor"
        print(
            f"{record['contestant']:24}{record['wall_ms']:10.1f}{record['wall_best_ms']:9.1f}"
            f"{record['processor_ms']:9.1f}{record['gflop_per_s']:9.1f}{record['peak_mib']:8.0f}"
            f"  {ratios}"
        )
