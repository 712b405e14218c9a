"""Measures exported models in ONNX Runtime beside the same architecture in eager PyTorch.

    benchmarks/peers/install.sh torch
    python benchmarks/export.py [--repeats 15] [--threads 2]

All contestants take turns in one run (A B A B). Each is a program of its own, which waits while the
others run and answers each request twice; the second answer is timed. Weights are random, so
outputs always have the longest length. The script writes JSON lines: one about versions and
machine, and one for each search and batch size, with medians, lowest times, ratios of the medians,
and the limits of the hardware.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from turns import PAUSE, PEERS, machine, torch_python

SIZES = {"vocabulary": 8000, "embedding": 256, "units": 512, "steps": 24, "width": 4}
SOURCE_LENGTH = 16
BATCHES = (1, 8, 32)
PEER = PEERS / "torch_decoding.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(Path(arguments.serve), arguments.threads)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), arguments)


def compare(folder: Path, arguments: Any) -> None:
    # TensorFlow's own threads must not stand beside those that are timed.
    write = [sys.executable, "-c", f"import export; export.write({str(folder)!r})"]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(write, check=True, cwd=Path(__file__).parent, env=quiet)
    sizes = {**SIZES, "threads": arguments.threads}
    programs = {"torch": Program(torch_python(str(PEER), json.dumps(sizes)))}
    rate, bandwidth = hardware(arguments.threads)
    for search in ("greedy", "beam"):
        for kind in ("float32", "int8"):
            path = folder / f"{search}.{kind}.onnx"
            programs[path.stem] = Program(
                [sys.executable, __file__, "--serve", str(path)]
                + ["--threads", str(arguments.threads)]
            )
    about = {name: program.about for name, program in programs.items()}
    print(json.dumps({"machine": machine(), "sizes": sizes, "programs": about}), flush=True)
    print(json.dumps({"gflop_per_second": rate, "gigabytes_per_second": bandwidth}), flush=True)
    medians: dict[tuple[str, int], dict[str, float]] = {}
    for batch in BATCHES:
        ids = [
            [4 + (97 * row + 31 * t) % 7990 for t in range(SOURCE_LENGTH)] for row in range(batch)
        ]
        for search in ("greedy", "beam"):
            names = ["torch", f"{search}.float32", f"{search}.int8"]
            times: dict[str, list[float]] = {name: [] for name in names}
            peaks = dict.fromkeys(names, 0.0)
            for repeat in range(arguments.repeats + 1):
                for name in names:
                    time.sleep(PAUSE)
                    programs[name].ask({"search": search, "ids": ids})  # fills the caches anew
                    answer = programs[name].ask({"search": search, "ids": ids})
                    peaks[name] = answer["peak_mib"]
                    if repeat:  # the first is a warm-up
                        times[name].append(answer["seconds"])
            found = {name: statistics.median(values) for name, values in times.items()}
            medians[search, batch] = found
            limits = limits_of(search, batch, rate, bandwidth)
            line = {
                "search": search,
                "batch": batch,
                "median_ms": {name: 1000 * value for name, value in found.items()},
                "lowest_ms": {name: 1000 * min(values) for name, values in times.items()},
                "torch_over": {name: found["torch"] / found[name] for name in names[1:]},
                "peak_mib": peaks,
                "limit_ms": limits,
                "of_limit": {
                    name: limits[kind] / (1000 * found[f"{search}.{kind}"])
                    for name, kind in zip(names[1:], ("float32", "int8"), strict=True)
                },
            }
            if search == "beam":
                greedy = medians["greedy", batch]
                line["beam_over_greedy"] = {
                    kind: found[f"beam.{kind}"] / greedy[f"greedy.{kind}"]
                    for kind in ("float32", "int8")
                }
            print(json.dumps(line), flush=True)
    for program in programs.values():
        program.close()


class Program:
    """A program that answers JSON lines; the first line it writes is about itself."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self._read()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def write(folder: str) -> None:
    """Exports a translator with random weights."""
    import onnx

    from keras_s2s import BeamSearch, Decoder, Encoder, GreedySearch, Seq2Seq
    from keras_s2s.export.onnx.models import ids_model
    from keras_s2s.export.onnx.parts import model_parts
    from keras_s2s.export.onnx.quantization import quantized
    from keras_s2s.export.onnx.specs import ids_graph
    from keras_s2s.text import WordTokenizer
    from keras_s2s.translation.translator import Translator

    sizes = {"vocabulary_size": SIZES["vocabulary"], "embedding_size": SIZES["embedding"]}
    words = WordTokenizer([f"w{i}" for i in range(SIZES["vocabulary"] - 4)])
    model = Seq2Seq(
        Encoder(**sizes, units=SIZES["units"] // 2, cell="lstm"),
        Decoder(**sizes, units=SIZES["units"], cell="lstm", attention="general"),
    )
    model.build()
    # Every output has the longest length, as the peer's.
    length = {"max_length": SIZES["steps"], "min_length": SIZES["steps"]}
    searches = {"greedy": GreedySearch(**length), "beam": BeamSearch(SIZES["width"], **length)}
    translator = Translator(model, words, words, searches["greedy"])
    float_parts = model_parts(translator)
    for kind, parts in (("float32", float_parts), ("int8", quantized(float_parts))):
        for name, search in searches.items():
            made = ids_model(translator, ids_graph(translator, name, search), parts)
            onnx.save(made, Path(folder) / f"{name}.{kind}.onnx")


def serve(path: Path, threads: int) -> None:
    """Answers requests with a model, without TensorFlow."""
    import resource

    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    begin = time.perf_counter()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - begin
    about = {
        "onnxruntime": onnxruntime.__version__,
        "load_ms": 1000 * load,
        "megabytes": path.stat().st_size / 1e6,
    }
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        ids = np.array(json.loads(line)["ids"])
        inputs = {"input_ids": ids, "input_lengths": np.full(len(ids), ids.shape[1])}
        begin = time.perf_counter()
        session.run(["output_ids", "scores"], inputs)
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": peak}), flush=True)


def hardware(threads: int) -> tuple[float, float]:
    """What the machine gives just now: GFLOP/s of a matrix product, GB/s of reading memory.

    The best of many tries with PyTorch's: nobody here does better.
    """
    program = (
        "import torch, time\n"
        f"torch.set_num_threads({threads})\n"
        "a, b = torch.rand(1024, 1024), torch.rand(1024, 1024)\n"
        "x = torch.rand(64 * 2**20)\n"
        "def best(run):\n"
        "    times = []\n"
        "    for _ in range(15):\n"
        "        begin = time.perf_counter(); run(); times.append(time.perf_counter() - begin)\n"
        "    return min(times)\n"
        "print(2 * 1024**3 / best(lambda: a @ b) / 1e9, 4 * len(x) / best(x.sum) / 1e9)\n"
    )
    done = subprocess.run(torch_python("-c", program), capture_output=True, text=True, check=True)
    rate, bandwidth = map(float, done.stdout.split())
    return rate, bandwidth


def limits_of(search: str, batch: int, rate: float, bandwidth: float) -> dict[str, float]:
    """Milliseconds below which a search by the book cannot be.

    That is arithmetic, or reading each weight once a step. A search may be below it where it makes
    once what several rows or steps share. Weights of 8 bits are a quarter of the bytes; their
    arithmetic is counted at four times the rate, which is what VNNI instructions do. Weights that
    stay in a cache can be read faster than from memory, so the second is no limit where they fit.
    """
    vocabulary, embedding, units = (SIZES[name] for name in ("vocabulary", "embedding", "units"))
    step = 4 * units * (embedding + units) + 2 * units * units + units * vocabulary
    encoder = 2 * 4 * (units // 2) * (embedding + units // 2) + units * units
    rows = batch * (SIZES["width"] if search == "beam" else 1)
    products = SIZES["steps"] * rows * step + SOURCE_LENGTH * batch * encoder
    arithmetic = 2e-6 * products / rate
    reading = 4e-6 * (SIZES["steps"] * step + encoder) / bandwidth
    return {"float32": max(arithmetic, reading), "int8": max(arithmetic, reading) / 4}


if __name__ == "__main__":
    main()
