"""LSTM and GRU over a sequence, and the same weights one step at a time.

`layer` holds what cells share, `cells` the cells. Nothing here knows of embeddings, directions or
stacks. The product of the inputs with the kernel is taken for all steps at once, outside the loop,
and in training the kernel gradients are formed as one product over all steps, not added up step by
step.

Weights have the layout of `keras.layers.LSTM` and `keras.layers.GRU(reset_after=True)`, so they
interchange.
"""

from keras_s2s.recurrent.cells import CELLS, GRU, LSTM
from keras_s2s.recurrent.layer import Recurrent

__all__ = ["CELLS", "GRU", "LSTM", "Recurrent"]
