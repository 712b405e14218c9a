"""A padded batch of four pairs with ids from 4 to 11, its labels, and a weight for each pair."""

import numpy as np

_RNG = np.random.default_rng(0)
_LENGTHS = np.array([[7], [2], [5], [1]])
SOURCE = _RNG.integers(4, 12, (4, 6)) * (np.arange(6) < _LENGTHS)
TARGET = _RNG.integers(4, 12, (4, 8)) * (np.arange(8) <= _LENGTHS)
X = {"source_ids": SOURCE, "target_ids": TARGET[:, :-1]}
Y = TARGET[:, 1:]
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.0])
