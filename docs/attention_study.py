"""Measures the figures of docs/attention.md, and writes attention.json and its three pictures.

Run it from the root of the repository: `python docs/attention_study.py`. With `--quick` it takes
seconds and only shows that everything runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, measures, and writes the results."""
    parser = argparse.ArgumentParser(description="Measures the claims of docs/attention.md.")
    parser.add_argument("--output", type=Path, default=Path("docs"), help="an existing folder")
    parser.add_argument("--seed", type=int, default=1, help="the first seed; others count up")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    options = parser.parse_args(arguments)
    if not options.output.is_dir():
        parser.error(f"--output must be an existing folder; got '{options.output}'. Create it.")
    _study(options.output, options.seed, options.quick)


def _study(output: Path, seed: int, quick: bool) -> None:
    # Imported here, so that an error in the command line is reported at once.
    import tensorflow as tf
    from study import alignments, bottleneck, figures, files, gradients

    # At these sizes a second thread gains nothing. With one thread sums have one order, so runs
    # repeat exactly.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.get_logger().setLevel("ERROR")  # otherwise it warns that each model is traced anew

    began = time.perf_counter()
    report: dict[str, Any] = {
        "command": f"python docs/attention_study.py --seed {seed}" + " --quick" * quick,
        "seed": seed,
        "quick": quick,
        "circumstances": files.circumstances(),
    }
    drawn = {}
    for name, part, settings, picture, draw in (
        (
            "bottleneck",
            bottleneck,
            bottleneck.QUICK if quick else bottleneck.Settings(),
            "bottleneck.png",
            figures.exact_match,
        ),
        (
            "reverse_alignment",
            alignments,
            alignments.QUICK if quick else alignments.Settings(),
            "reverse-alignment.png",
            figures.reverse_alignment,
        ),
        (
            "gradient_shortcut",
            gradients,
            gradients.QUICK if quick else gradients.Settings(),
            "gradient-shortcut.png",
            figures.gradient_shortcut,
        ),
    ):
        part_began = time.perf_counter()
        result = part.measure(settings, seed, say=_say)
        report[name] = {"seconds": time.perf_counter() - part_began, **result}
        drawn[picture] = draw(result)
    report["seconds"] = time.perf_counter() - began
    report["processor_seconds"] = time.process_time()
    for picture, figure in drawn.items():
        files.write_figure(output / picture, figure)
    files.write_json(output / "attention.json", report)
    _say(f"Wrote {', '.join((*drawn, 'attention.json'))} in {report['seconds']:.0f} s.")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
