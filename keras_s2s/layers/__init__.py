"""Keras layers: encoder, bridge and decoder, and the attention and recurrent layers inside them.

The encoder turns source ids into an encoded source and a final state, the bridge turns that state
into the decoder's first state, and the decoder predicts target tokens while it attends to the
encoded source. Each of the three is a Keras layer that works on its own, and `models` joins them to
a `Seq2Seq`.

- `encoder`: the recurrent encoder.
- `bridge`: layers that make the decoder's first state from the encoder's last state.
- `decoder/`: the recurrent decoder, with its design, its stack and its output layer.
- `attention/`: attention mechanisms, with their scores, probability functions and windows.
- `recurrent/`: recurrent layers over a sequence, and the same weights one step at a time.
- `stack`: the recurrent blocks of an encoder or a decoder, and the checks of their options.
- `embedding`: the layer that turns ids into vectors, with its table, its scale and its dropouts.
- `scan`: the loop over time, on every Keras backend.
"""
