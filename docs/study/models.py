"""The model that all three measurements share, its training, and its share of exact matches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_s2s import Decoder, Encoder, GreedySearch, Seq2Seq
from study import tasks


class Variant(NamedTuple):
    """A way in which the decoder learns about the source."""

    attention: str | None
    reverse_source: bool = False


VARIANTS = {
    "none": Variant(None),
    "none, source reversed": Variant(None, reverse_source=True),
    "dot": Variant("dot"),
    "general": Variant("general"),
    "concat": Variant("concat"),
}


class Sizes(NamedTuple):
    """Sizes of the model, which has one recurrent layer on each side, forward in the encoder."""

    symbols: int = 16
    embedding: int = 32
    units: int = 64


class Training(NamedTuple):
    """Settings of a training with Adam, whose learning rate falls to zero along a cosine."""

    steps: int
    longest: int
    batch: int = 32
    learning_rate: float = 4e-3


def make_model(
    variant: Variant, sizes: Sizes, seed: int, cell: str = "lstm", dtype: str = "float32"
) -> Seq2Seq:
    """Makes an untrained model. Encoder and decoder are equally wide, so the bridge is a copy."""
    keras.utils.set_random_seed(seed)
    shared: dict[str, Any] = {
        "vocabulary_size": tasks.FIRST + sizes.symbols,
        "embedding_size": sizes.embedding,
        "units": sizes.units,
        "cell": cell,
        "dtype": dtype,
    }
    encoder = Encoder(bidirectional=False, reverse_source=variant.reverse_source, **shared)
    model = Seq2Seq(encoder, Decoder(attention=variant.attention, **shared))
    model.build()
    return model


def train(
    model: Seq2Seq,
    task: str,
    training: Training,
    sizes: Sizes,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, float]:
    """Trains on sequences that are made as they are needed, the same ones for the same seed.

    Returns:
        The mean loss of the last tenth of the steps, in nats a token, and the seconds of the
        training.
    """
    ids = tf.TensorSpec((None, None), tf.int32)

    def generate() -> Any:
        arguments = (training.steps, training.batch, training.longest, sizes.symbols, seed)
        for batch in tasks.batches(task, *arguments):
            yield batch.inputs, batch.labels

    signature = ({"source_ids": ids, "target_ids": ids}, ids)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(8)
    schedule = keras.optimizers.schedules.CosineDecay(training.learning_rate, training.steps)
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    epochs = min(10, training.steps)
    began = time.perf_counter()
    history = model.fit(
        dataset,
        epochs=epochs,
        steps_per_epoch=training.steps // epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )
    return {"loss": history.history["loss"][-1], "seconds": time.perf_counter() - began}


class ExactMatch:
    """Share of sequences that a model decodes without any error, the end included.

    Args:
        model: trained model.
        longest: length of the longest source; outputs have at most 3 ids more.
    """

    def __init__(self, model: Seq2Seq, longest: int) -> None:
        self.width = longest + 3
        inference = model.inference_model(GreedySearch(max_length=self.width))
        ids = tf.TensorSpec((None, None), tf.int32)
        self.decode = tf.function(lambda x: inference(x).ids[:, 0], input_signature=[ids])

    def __call__(self, sequences: tasks.Pairs) -> float:
        labels = sequences.labels
        expected = np.pad(labels, ((0, 0), (0, self.width - labels.shape[1])))
        return float((self.decode(sequences.source).numpy() == expected).all(axis=1).mean())
