"""The bottleneck: measures exact match by source length, with and without attention.

Without attention, one vector carries the whole source to the decoder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from study import models, tasks


class Settings(NamedTuple):
    """Settings of the measurement; all variants have the same sizes, sequences and steps."""

    variants: tuple[str, ...] = tuple(models.VARIANTS)
    seeds: int = 3
    lengths: tuple[int, ...] = tuple(range(1, 31))
    sequences: int = 200
    sizes: models.Sizes = models.Sizes()
    training: models.Training = models.Training(steps=1500, longest=20)
    task: str = "copy"


QUICK = Settings(
    variants=("none", "general"),
    seeds=1,
    lengths=(1, 3, 5),
    sequences=4,
    sizes=models.Sizes(symbols=5, embedding=4, units=8),
    training=models.Training(steps=2, longest=3, batch=4),
)


def measure(settings: Settings, seed: int, say: Any = print) -> dict[str, Any]:
    """Trains and decodes; see `Settings`. Seeds count up from `seed`."""
    runs = []
    for name in settings.variants:
        for number in range(seed, seed + settings.seeds):
            model = models.make_model(models.VARIANTS[name], settings.sizes, number)
            trained = models.train(model, settings.task, settings.training, settings.sizes, number)
            exact = models.ExactMatch(model, max(settings.lengths))
            generator = np.random.default_rng(tasks.EVALUATION_SEED)
            shares = []
            for length in settings.lengths:
                sequences = tasks.pairs(
                    settings.task, settings.sequences, length, settings.sizes.symbols, generator
                )
                shares.append(exact(sequences))
            runs.append(
                {
                    "variant": name,
                    "seed": number,
                    "parameters": model.count_params(),
                    **trained,
                    "exact_match": shares,
                }
            )
            say(f"bottleneck: {name}, seed {number}: {trained['seconds']:.0f} s")
    return {"settings": settings, "runs": runs}


def by_variant(result: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the exact match of each variant as `(seeds, lengths)`."""
    shares: dict[str, list[list[float]]] = {}
    for run in result["runs"]:
        shares.setdefault(run["variant"], []).append(run["exact_match"])
    return {name: np.array(rows) for name, rows in shares.items()}
