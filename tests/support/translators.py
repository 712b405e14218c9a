"""Tiny untrained translators with varied outputs, for the tests of the exporters."""

from typing import Any

import numpy as np

from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.search import BeamSearch, Search
from keras_s2s.text import Tokenizer, train_tokenizer
from keras_s2s.translation.translator import Translator

LINES = [
    "the cat sat on the mat and looked at the dog",
    "a dog ate my homework, again!",
    "äöü ß € 猫 🙂 straße",
    "zebra quick brown fox jumps 0123456789",
] * 4
SIZES = {"unigram": 50, "bpe": 60}


def tiny_translator(
    source: str | Tokenizer = "char",
    target: str | Tokenizer = "word",
    *,
    cell: Any = "lstm",
    attention: Any = "general",
    search: Search | None = None,
    max_source_length: int = 12,
    depth: int = 1,
    units: int = 16,
    seed: int = 1,
    encoder: dict[str, Any] | None = None,
    **decoder: Any,
) -> Translator:
    """Returns a translator with fixed random weights, large enough that outputs differ.

    `encoder` holds further options of the encoder; all other options go to the decoder.
    """
    source_tokenizer, target_tokenizer = (
        train_tokenizer(kind, LINES, SIZES.get(kind)) if isinstance(kind, str) else kind
        for kind in (source, target)
    )
    model = Seq2Seq(
        Encoder(
            vocabulary_size=source_tokenizer.vocabulary_size,
            embedding_size=8,
            units=units // 2,
            cell=cell if isinstance(cell, str) else "gru",
            depth=depth,
            **(encoder or {}),
        ),
        Decoder(
            vocabulary_size=target_tokenizer.vocabulary_size,
            embedding_size=8,
            units=units if isinstance(cell, str) else None,
            cell=cell,
            depth=depth,
            attention=attention,
            **decoder,
        ),
    )
    model.build()
    draw = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign(draw.normal(0.0, 0.8, weight.shape))
    return Translator(
        model,
        source_tokenizer,
        target_tokenizer,
        search or BeamSearch(3, max_length=8, n_best=2),
        max_source_length=max_source_length,
    )


def texts(count: int, seed: int = 0) -> list[str]:
    """Returns random cuts of the lines."""
    draw = np.random.default_rng(seed)
    cuts = []
    for _ in range(count):
        line = LINES[draw.integers(4)]
        start = draw.integers(len(line) - 1)
        cuts.append(line[start : start + draw.integers(1, 9)])
    return cuts
