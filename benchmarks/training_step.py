"""Measures a training step of an encoder–decoder beside stock Keras layers and PyTorch.

The model has embeddings, a bidirectional LSTM, and an LSTM decoder with general attention (Luong et
al. 2015). The optimizer is Adam, with gradients clipped to a global norm of 1. All contestants run
the same design on batches of the same shape.

    python benchmarks/training_step.py
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from turns import PEERS, compare, options, python, torch_python

SIZES = {"vocabulary": 8000, "embedding": 256, "units": 512, "batch": 64, "length": 16}


def main() -> None:
    parser = options(__doc__.splitlines()[0])
    for name, default in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--shortest", type=int, help="of rows; as long as all others when omitted")
    arguments = parser.parse_args()
    sizes = {name: getattr(arguments, name) for name in SIZES}
    sizes["shortest"] = arguments.shortest or arguments.length
    ours = {
        "keras_s2s": "float32",
        "keras_s2s bfloat16": "mixed_bfloat16",
    }
    peer = str(PEERS / "torch_training_step.py")
    compare(
        "training step",
        {
            **{
                name: python(__file__, "serve", "keras_s2s", policy, json.dumps(sizes))
                for name, policy in ours.items()
            },
            "torch": torch_python(peer, "plain", json.dumps(sizes)),
            "torch fused Adam": torch_python(peer, "fused", json.dumps(sizes)),
            "keras": python(__file__, "serve", "keras", "float32", json.dumps(sizes)),
            "keras jit_compile": python(
                __file__, "serve", "keras-jit", "float32", json.dumps(sizes)
            ),
        },
        baseline="torch",
        flop=operations(**sizes),
        shapes=sizes,
        arguments=arguments,
    )


def operations(
    vocabulary: int, embedding: int, units: int, batch: int, length: int, shortest: int
) -> float:
    """Floating-point operations of the matrix products of a step, padding counted as tokens."""
    tokens = batch * length
    encoder = 2 * tokens * (embedding + units // 2) * 4 * (units // 2)
    decoder = tokens * (embedding + units) * 4 * units
    keys = tokens * units * units
    attention = 2 * tokens * length * units
    vector = tokens * 2 * units * units
    return 3 * 2 * (encoder + decoder + keys + attention + vector + tokens * units * vocabulary)


def batch_of(
    vocabulary: int, batch: int, length: int, shortest: int, **_: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source ids, target ids that enter and target ids to predict, `(B, T)` each; 0 is padding."""
    rng = np.random.default_rng(1)
    source, target = rng.integers(4, vocabulary, (2, batch, length + 1)).astype("int32")
    lengths = rng.integers(shortest, length + 1, (2, batch, 1))
    places = np.arange(length)
    kept = places < lengths
    return source[:, 1:] * kept[0], target[:, :-1] * kept[1], target[:, 1:] * kept[1]


def serve_model(kind: str, policy: str, sizes: dict[str, int]) -> None:
    """A contestant of this environment."""
    import keras
    import tensorflow as tf
    from contestant import serve

    keras.config.set_dtype_policy(policy)
    model = ours(**sizes) if kind == "keras_s2s" else theirs(kind == "keras-jit", **sizes)
    source, entering, expected = batch_of(**sizes)
    inputs = {"source_ids": tf.constant(source), "target_ids": tf.constant(entering)}
    labels = tf.constant(expected)

    def step() -> float:
        return model.train_on_batch(inputs, labels)

    step()
    serve(
        step,
        tensorflow=tf.__version__,
        keras=keras.__version__,
        parameters=model.count_params(),
    )


def ours(vocabulary: int, embedding: int, units: int, **_: Any) -> Any:
    import keras_s2s as s2s

    encoder = s2s.Encoder(
        vocabulary_size=vocabulary, embedding_size=embedding, units=units // 2, cell="lstm"
    )
    decoder = s2s.Decoder(
        vocabulary_size=vocabulary, embedding_size=embedding, units=units, cell="lstm"
    )
    model = s2s.Seq2Seq(encoder, decoder)
    model.compile(weighted_metrics=[])
    return model


def theirs(jit_compile: bool, vocabulary: int, embedding: int, units: int, **_: Any) -> Any:
    """The same design from the layers that Keras has."""
    import keras
    from keras import layers, ops

    source = keras.Input((None,), dtype="int32", name="source_ids")
    target = keras.Input((None,), dtype="int32", name="target_ids")
    mask = layers.Lambda(lambda ids: ops.not_equal(ids, 0))(source)
    encoded, *state = layers.Bidirectional(
        layers.LSTM(units // 2, return_sequences=True, return_state=True)
    )(layers.Embedding(vocabulary, embedding)(source), mask=mask)
    state = [layers.Concatenate()(state[i::2]) for i in (0, 1)]
    states = layers.LSTM(units, return_sequences=True)(
        layers.Embedding(vocabulary, embedding)(target), initial_state=state
    )
    keys = layers.Dense(units, use_bias=False)(encoded)
    context = layers.Attention()([states, encoded, keys], mask=[None, mask])
    vector = layers.Dense(units, activation="tanh", use_bias=False)(
        layers.Concatenate()([context, states])
    )
    model = keras.Model([source, target], layers.Dense(vocabulary)(vector))
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        jit_compile=jit_compile,
    )
    return model


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_model(*sys.argv[2:4], json.loads(sys.argv[4]))
    else:
        main()
