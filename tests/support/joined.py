"""Trains a saved translator, alone or as one of several processes, for tests/data/test_hosts.py.

`python joined.py FOLDER [ADDRESSES HOST]` trains FOLDER/start.keras on the pairs of FOLDER/text.tsv
and leaves FOLDER/COUNT.npz and FOLDER/COUNT.keras, where COUNT is the number of processes.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_s2s as s2s
from keras_s2s.data.reading import read_tsv

BATCHES = {"batch_size": 12}
SEED = 3


def main(folder, addresses="localhost:1", host="0"):
    hosts = s2s.join_hosts(addresses.split(","), int(host))
    assert hosts.devices == hosts.count
    translator = keras.saving.load_model(folder / "start.keras")
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    corpus = s2s.Corpus(read_tsv(folder / "text.tsv"), *tokenizers)
    history = translator.model.fit(
        corpus.dataset(**BATCHES, shuffle_seed=SEED, hosts=hosts),
        validation_data=corpus.dataset(**BATCHES, shuffle_seed=None, hosts=hosts),
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history
    for name, values in history.items():
        hosts.check_alike(name, np.array(values).tobytes())
    weights = translator.model.get_weights()
    hosts.check_alike("weights", b"".join(weight.tobytes() for weight in weights))
    hosts.save(translator, folder / f"{hosts.count}.keras")
    if hosts.leads:
        named = {f"weight {i}": weight for i, weight in enumerate(weights)}
        np.savez(folder / f"{hosts.count}.npz", **history, **named)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
