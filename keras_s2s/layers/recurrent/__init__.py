"""Recurrent layers that run over a whole sequence, or one step at a time with the same weights.

Nothing in this room knows about embeddings or attention. A layer multiplies the inputs of all steps
with its kernel at once, outside the loop over time. In training it computes the gradient of each
kernel as one product over all steps, while automatic differentiation would add it up step by step.
The weights have the layout of `keras.layers.LSTM` and `keras.layers.GRU(reset_after=True)`, so they
can be exchanged with those layers.

- `cells`: The cells LSTM and GRU: one step forward, and one step back through the gradient.
- `layer_norm`: The LSTM with layer normalisation inside the cell.
- `layer`: The base class of these cells: weights, masking, recurrent dropout and the call.
- `gradient`: The loop over time with its gradient written out by hand.
- `masks`: Applies recurrent dropout and the padding mask to the state.
- `cudnn`: cuDNN's kernel for all steps of an LSTM or a GRU on a GPU.
- `foreign`: Any Keras RNN cell, wrapped to be called like the cells of this library.
- `block`: One layer of a stack: a recurrent layer with dropout, directions, norm and residual.
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
