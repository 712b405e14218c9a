"""The embedding of an encoder or a decoder, with its table, scale, features and dropouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops


@dataclass(frozen=True)
class TokenEmbedding:
    """Turns ids into vectors with layers that belong to an `Encoder` or a `Decoder`.

    ```
    outputs = dropouts([scale·table[ids]; feature_tables[i][features[i]] …])
    ```

    The layers stay attributes of the encoder or decoder, where Keras finds and saves them. The
    encoder or decoder makes this object anew whenever it embeds, so that a table that is shared
    later takes effect.

    Attributes:
        table: the embedding of the tokens.
        scale: factor on the tokens' embeddings.
        dropouts: the layers of `embedding_dropouts`, applied in their order.
        feature_tables: one embedding for each further id that a token carries.
    """

    table: keras.layers.Embedding
    scale: float
    dropouts: Sequence[keras.layers.Dropout]
    feature_tables: Sequence[keras.layers.Embedding] = ()

    def __call__(self, ids: Any, features: Any = None, training: bool | None = None) -> Any:
        """Embeds ids `(B, T)` and features `(B, T, F)`, or None, to vectors `(B, T, E)`."""
        x = self.without_dropout(ids)
        if features is not None:
            tables = enumerate(self.feature_tables)
            x = ops.concatenate([x, *(table(features[:, :, i]) for i, table in tables)], axis=-1)
        for dropout in self.dropouts:
            x = dropout(x, training=training)
        return x

    def without_dropout(self, ids: Any) -> Any:
        """Embeds ids of any shape `(…)`, such as the tokens of one step, to vectors `(…, E)`."""
        x = self.table(ids)
        return x if self.scale == 1 else x * self.scale


def embedding_table(vocabulary_size: int, size: int, **kwargs: Any) -> keras.layers.Embedding:
    """Makes a table of numbers drawn from N(0, 1/size), whose rows have lengths near one.

    A tied output layer then starts with logits of a size that trains well. With Keras' own initial
    rows, within ±0.05, a model needs several times as many steps, because they are so alike.
    """
    start = keras.initializers.RandomNormal(stddev=size**-0.5)
    return keras.layers.Embedding(vocabulary_size, size, embeddings_initializer=start, **kwargs)


def embedding_dropouts(embedding: float, word: float, dtype: Any) -> list[keras.layers.Dropout]:
    """Makes the layers that drop whole words and then single numbers of embeddings.

    Args:
        embedding: share of the numbers in each embedding that training drops; 0 for no such layer.
        word: share of the words whose whole embedding training drops; 0 for no such layer.
        dtype: dtype policy of the layers.
    """
    layers = []
    if word:
        layers.append(keras.layers.Dropout(word, noise_shape=(None, None, 1), dtype=dtype))
    if embedding:
        layers.append(keras.layers.Dropout(embedding, dtype=dtype))
    return layers
