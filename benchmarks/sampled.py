"""Measures a training step with a large target vocabulary, with the whole softmax and a sample.

The design and the batches are those of training_step.py, with a source vocabulary of 8,000. The
contestants take turns, each in a process of its own, so that peak memory is a contestant's own too.
The operations that are counted are those of the whole softmax with an output matrix of its own, so
the rates of the other contestants say nothing.

    python benchmarks/sampled.py --threads 1 --vocabulary 50000 100000 --output lines.jsonl
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from training_step import SIZES, batch_of, operations
from turns import compare, options, python

SOURCE = 8000
CONTESTANTS = {
    "whole": (0, False),
    "sampled": (1, False),
    "whole, tied": (0, True),
    "sampled, tied": (1, True),
}


def main() -> None:
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[50_000, 100_000])
    parser.add_argument("--samples", type=int, default=4096)
    arguments = parser.parse_args()
    for vocabulary in arguments.vocabulary:
        sizes = {**SIZES, "vocabulary": vocabulary, "shortest": SIZES["length"]}
        shapes = {**sizes, "source_vocabulary": SOURCE, "samples": arguments.samples}
        compare(
            "sampled softmax",
            {
                name: python(__file__, "serve", str(sampled), str(int(tied)), json.dumps(shapes))
                for name, (sampled, tied) in CONTESTANTS.items()
            },
            baseline="whole",
            flop=operations(**sizes),
            shapes=shapes,
            arguments=arguments,
        )


def serve_model(sampled: bool, tied: bool, shapes: dict[str, int]) -> None:
    import keras
    import tensorflow as tf
    from contestant import serve

    import keras_s2s as s2s

    vocabulary, units = shapes["vocabulary"], shapes["units"]
    common: dict[str, Any] = {"embedding_size": shapes["embedding"], "cell": "lstm"}
    encoder = s2s.Encoder(vocabulary_size=SOURCE, units=units // 2, **common)
    decoder = s2s.Decoder(
        vocabulary_size=vocabulary,
        units=units,
        tied_embedding=tied,
        attention_size=shapes["embedding"] if tied else None,
        **common,
    )
    model = s2s.Seq2Seq(encoder, decoder)
    loss = s2s.SampledTokenCrossEntropy(shapes["samples"], seed=1) if sampled else None
    model.compile(loss=loss, weighted_metrics=[])
    source, entering, expected = batch_of(**{**shapes, "vocabulary": SOURCE})
    # Target ids by Zipf's law, as words are.
    ranks = np.random.default_rng(2).random(expected.size + 1)
    ids = np.clip(np.exp(ranks * np.log(vocabulary)).astype("int32") + 3, 4, vocabulary - 1)
    inputs = {
        "source_ids": tf.constant(source),
        "target_ids": tf.constant(ids[:-1].reshape(entering.shape)),
    }
    labels = tf.constant(ids[1:].reshape(expected.shape))

    def step() -> float:
        return model.train_on_batch(inputs, labels)

    step()
    serve(step, tensorflow=tf.__version__, keras=keras.__version__, parameters=model.count_params())


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve_model(sys.argv[2] == "1", sys.argv[3] == "1", json.loads(sys.argv[4]))
    else:
        main()
