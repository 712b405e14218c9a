"""A contestant's side of a comparison: it runs steps on request and answers with their times.

Requests and answers are lines, the answers in JSON. This module uses the standard library alone, so
that peers in environments of their own can use it. Each contestant is a process; `turns.py` lets
them work one after the other, again and again.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any


def serve(
    step: Callable[[], Any], *, warm_up: int = 3, counting: bool = False, **about: Any
) -> None:
    """Writes `about` once, then runs as many steps as each line of standard input asks for.

    Args:
        step: function that does the work and waits for its result.
        warm_up: number of steps before the first one that is timed; they trace, compile and fill
            caches.
        counting: whether a step returns the amount of its work, which the answer then holds.
        about: facts about this contestant for its record: versions, parameters, threads.
    """
    answers = sys.stdout
    sys.stdout = sys.stderr  # so that nothing that a library prints is taken for an answer
    for _ in range(warm_up):
        step()
    _say(answers, about)
    for line in sys.stdin:
        wall, processor, counted = [], [], []
        for _ in range(int(line)):
            processor_start, start = time.process_time(), time.perf_counter()
            counted.append(step())
            wall.append(time.perf_counter() - start)
            processor.append(time.process_time() - processor_start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"wall": wall, "processor": processor, "peak_mib": peak}
        _say(answers, {**answer, "counted": counted} if counting else answer)


def _say(stream: Any, record: dict[str, Any]) -> None:
    stream.write(json.dumps(record) + "\n")
    stream.flush()
