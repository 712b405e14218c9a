"""Writes a model on one backend and reads it on another, for tests/models/test_backends.py.

`python exchange.py write FOLDER` trains and saves a model; `python exchange.py read FOLDER` loads
it. Both leave the outputs of the model in FOLDER, so that they can be compared.
"""

import sys

import keras
import numpy as np

from keras_s2s import BeamSearch, Decoder, Encoder, GreedySearch, Seq2Seq

SOURCE = np.array([[4, 5, 6, 3], [7, 3, 0, 0], [8, 9, 3, 0], [6, 4, 7, 3]], "int32")
TARGET = np.array([[2, 6, 5, 4, 3], [2, 7, 3, 0, 0], [2, 9, 8, 3, 0], [2, 7, 4, 6, 3]], "int32")
X, Y = {"source_ids": SOURCE, "target_ids": TARGET[:, :-1]}, TARGET[:, 1:]
SEARCHES = {"greedy": GreedySearch(6), "beam": BeamSearch(3, 1.0, n_best=2, max_length=6)}


def write(folder):
    """Trains a model until its outputs differ from source to source, and saves it."""
    keras.utils.set_random_seed(5)
    sizes = {"vocabulary_size": 10, "embedding_size": 8}
    model = Seq2Seq(
        Encoder(**sizes, units=8, cell="lstm", dropout=0.1),
        Decoder(**sizes, units=12, cell="gru", attention="concat"),
    )
    model.compile(keras.optimizers.Adam(0.03))
    losses = model.fit(X, Y, batch_size=2, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2, losses
    model.save(f"{folder}/model.keras")
    for name, search in SEARCHES.items():
        model.inference_model(search).save(f"{folder}/{name}.keras")
    save_outputs(model, folder, "written")


def read(folder):
    """Loads the model, saves its outputs, and trains on from the optimizer's state."""
    model = keras.saving.load_model(f"{folder}/model.keras")
    save_outputs(model, folder, "read")
    assert int(model.optimizer.iterations) == 24
    losses = model.fit(X, Y, batch_size=2, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


def save_outputs(model, folder, name):
    found = {"logits": model.predict(X, verbose=0)}
    for search in SEARCHES:
        inference = keras.saving.load_model(f"{folder}/{search}.keras")
        result = inference.predict(SOURCE, verbose=0)
        found |= {f"{search} {part}": array for part, array in result._asdict().items()}
    np.savez(f"{folder}/{name}.npz", **found)


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](sys.argv[2])
