"""Measures the memory of a training against its number of pairs, with ids in memory and on disk.

    python benchmarks/corpus.py --pairs 500000 5000000

Each row is a process of its own. It generates pairs one after the other, tokenises them, and trains
a small model for some steps on batches from all over the corpus. It writes one JSON line: the peak
memory of the process before the text, with the text, and after the steps.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice

WORDS = [f"w{number}" for number in range(2000)]


def pairs(count: int) -> Iterator[tuple[str, str]]:
    """Sources of 5 to 25 words, and targets that say them backwards."""
    draw = random.Random(1)
    for _ in range(count):
        words = draw.choices(WORDS, k=draw.randint(5, 25))
        yield " ".join(words), " ".join(reversed(words))


def peak() -> float:
    """MiB that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(count: int, on_disk: bool, steps: int) -> dict[str, object]:
    """Builds the corpus, trains from it, and says what it took."""
    from keras_s2s import Corpus, Decoder, Encoder, Seq2Seq
    from keras_s2s.text import WordTokenizer

    words = WordTokenizer(WORDS)
    size = words.vocabulary_size
    model = Seq2Seq(
        Encoder(vocabulary_size=size, embedding_size=32, units=32),
        Decoder(vocabulary_size=size, embedding_size=32, units=64),
    )
    model.compile()
    warm = Corpus(pairs(2000), words, words)
    model.fit(warm.dataset(batch_size=64, shuffle_seed=1), verbose=0, shuffle=False)
    before = peak()
    began = time.perf_counter()
    corpus = Corpus(pairs(count), words, words, on_disk=on_disk)
    tokenised, read = time.perf_counter() - began, peak()
    batches = corpus.batches(batch_size=64, shuffle_seed=1)
    began = time.perf_counter()
    for inputs, labels, weights in islice(batches, steps):
        model.train_on_batch(inputs, labels, weights)
    return {
        "pairs": count,
        "on_disk": on_disk,
        "steps": steps,
        "mebibytes_before": round(before),
        "mebibytes_with_text": round(read),
        "mebibytes_after_steps": round(peak()),
        "seconds_to_tokenise": round(tokenised, 1),
        "milliseconds_a_step": round(1000 * (time.perf_counter() - began) / steps, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[500_000, 5_000_000])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--one", choices=["memory", "disk"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.pairs[0], given.one == "disk", given.steps)))
        return
    for count in given.pairs:
        for place in ("disk", "memory"):
            command = [sys.executable, __file__, "--pairs", str(count), "--one", place]
            subprocess.run([*command, "--steps", str(given.steps)], check=True)


if __name__ == "__main__":
    main()
