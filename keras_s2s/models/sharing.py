"""The embedding that encoder and decoder may share, and the cells that they must not share."""

from __future__ import annotations

import keras

from keras_s2s.layers.decoder.decoder import Decoder
from keras_s2s.layers.encoder import Encoder


def check_separate_cells(encoder: Encoder, decoder: Decoder) -> None:
    """Raises ValueError if encoder and decoder hold the same Keras cell."""
    encoder_cells, decoder_cells = (
        {id(cell): cell for cell in keras.tree.flatten(layer.cell)} for layer in (encoder, decoder)
    )
    for key in encoder_cells.keys() & decoder_cells.keys():
        cell = encoder_cells[key]
        if not isinstance(cell, str):
            raise ValueError(
                "`encoder` and `decoder` must share no cell; got the same "
                f"{type(cell).__name__} in both. Make one for each."
            )


def share_embedding(encoder: Encoder, decoder: Decoder) -> None:
    """Lets the decoder look ids up in the encoder's embedding.

    Raises:
        ValueError: If the two embeddings differ in an option, or if the decoder is built already.
    """
    for name in ("vocabulary_size", "embedding_size", "trainable_embedding"):
        source, target = getattr(encoder, name), getattr(decoder, name)
        if source != target:
            raise ValueError(
                f"`shared_embedding` needs the same `{name}` on both sides; got {source} in the "
                f"encoder and {target} in the decoder."
            )
    if decoder.built and decoder.embedding is not encoder.embedding:
        raise ValueError(
            "`shared_embedding` needs a decoder without weights of its own; this one is built "
            "already. Make a new Decoder."
        )
    del decoder.embedding  # otherwise Keras would still count it among the decoder's layers
    decoder.embedding = encoder.embedding
