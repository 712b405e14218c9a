"""Recurrent layers over a sequence, and the same weights one step at a time.

`layer` holds what our cells share, `cells` LSTM and GRU, `layer_norm` the normalised LSTM,
`foreign` any Keras RNN cell, `block` what surrounds a layer in a stack. Nothing here knows of
embeddings or attention. The product of the inputs with the kernel is taken for all steps at once,
outside the loop, and in training the kernel gradients are formed as one product over all steps, not
added up step by step.

Weights have the layout of `keras.layers.LSTM` and `keras.layers.GRU(reset_after=True)`, so they
interchange.
"""

from keras_s2s.layers.recurrent.block import Recurrence, RecurrentBlock
from keras_s2s.layers.recurrent.cells import GRU, LSTM
from keras_s2s.layers.recurrent.foreign import CellRecurrent
from keras_s2s.layers.recurrent.layer import CELLS, Recurrent, named_cell
from keras_s2s.layers.recurrent.layer_norm import LayerNormLSTM

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "CellRecurrent",
    "LayerNormLSTM",
    "Recurrence",
    "Recurrent",
    "RecurrentBlock",
    "named_cell",
]
