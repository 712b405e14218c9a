"""Alignments: measures whether the attention of a model that reverses is on the anti-diagonal."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_s2s import Seq2Seq
from study import models, tasks


class Settings(NamedTuple):
    """Settings of the measurement."""

    variants: tuple[str, ...] = ("dot", "general", "concat")
    seeds: int = 3
    lengths: tuple[int, ...] = (5, 10, 15)
    sequences: int = 200
    drawn_length: int = 12
    sizes: models.Sizes = models.Sizes()
    training: models.Training = models.Training(steps=1000, longest=15)
    task: str = "reverse"


QUICK = Settings(
    variants=("general",),
    seeds=1,
    lengths=(3, 5),
    sequences=4,
    drawn_length=4,
    sizes=models.Sizes(symbols=5, embedding=4, units=8),
    training=models.Training(steps=2, longest=3, batch=4),
)


class AntiDiagonal(NamedTuple):
    """How much of the attention lies where target token `t` meets source token `S + 1 − t`.

    Attributes:
        mass: mean weight there, over the `S` target tokens that are symbols.
        largest: share of these target tokens whose largest weight is there.
        mass_beside: mean weight there and on the two source tokens next to it.
    """

    mass: float
    largest: float
    mass_beside: float


def anti_diagonal(weights: Any) -> AntiDiagonal:
    """Measures attention weights.

    Args:
        weights: `(N, T, S)` with `T ≥ S`; rows after the first `S`, such as that of the end token,
            have no source token of their own and do not count.
    """
    weights = np.asarray(weights, "float64")
    _, targets, sources = weights.shape
    if targets < sources:
        raise ValueError(
            "`weights` must have a row for every source token, (N, T, S) with T ≥ S; got the shape "
            f"{weights.shape}."
        )
    mirrored = weights[:, :sources, ::-1]  # the anti-diagonal is now the diagonal
    distance = np.abs(np.subtract.outer(np.arange(sources), np.arange(sources)))
    rows = mirrored.shape[0] * sources
    return AntiDiagonal(
        mass=float(mirrored[:, distance == 0].sum() / rows),
        largest=float((mirrored.argmax(axis=-1) == np.arange(sources)).mean()),
        mass_beside=float(mirrored[:, distance <= 1].sum() / rows),
    )


def alignment(model: Seq2Seq, sequences: tasks.Pairs) -> np.ndarray:
    """Returns attention weights `(N, S + 1, S)` of a decoder that reads the true tokens."""
    encoded, state = model.encoder(sequences.source)
    _, _, weights = model.decoder(sequences.target[:, :-1], model.bridge(state), encoded)
    return np.asarray(weights)


def measure(settings: Settings, seed: int, say: Any = print) -> dict[str, Any]:
    """Trains and measures; see `Settings`. Seeds count up from `seed`."""
    runs, drawn = [], {}
    for name in settings.variants:
        for number in range(seed, seed + settings.seeds):
            model = models.make_model(models.VARIANTS[name], settings.sizes, number)
            untrained = _by_length(model, settings)
            trained = models.train(model, settings.task, settings.training, settings.sizes, number)
            run = {"variant": name, "seed": number, **trained}
            after = _by_length(model, settings)
            runs.append({**run, "untrained": untrained, "by_length": after})
            if number == seed:
                drawn[name] = _one(model, settings)
            say(f"alignments: {name}, seed {number}: {trained['seconds']:.0f} s")
    return {"settings": settings, "runs": runs, "drawn": drawn}


def _by_length(model: Seq2Seq, settings: Settings) -> list[dict[str, float]]:
    generator = np.random.default_rng(tasks.EVALUATION_SEED)
    decodes = models.ExactMatch(model, max(settings.lengths))
    measurements = []
    for length in settings.lengths:
        sequences = tasks.pairs(
            settings.task, settings.sequences, length, settings.sizes.symbols, generator
        )
        on_it = anti_diagonal(alignment(model, sequences))
        measurements.append(
            {"length": length, "exact_match": decodes(sequences), **on_it._asdict()}
        )
    return measurements


def _one(model: Seq2Seq, settings: Settings) -> dict[str, Any]:
    """Returns the one sequence that is drawn: the first of a generator, and not a chosen one."""
    generator = np.random.default_rng(tasks.EVALUATION_SEED)
    sequences = tasks.pairs(
        settings.task, 1, settings.drawn_length, settings.sizes.symbols, generator
    )
    return {
        "source": sequences.source[0].tolist(),
        "target": sequences.labels[0].tolist(),
        "weights": alignment(model, sequences)[0].tolist(),
    }
