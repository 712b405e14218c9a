"""Layers: encoder, bridge and decoder, and the attention and recurrent layers inside them.

- `attention/`: Attention over an encoded source: what is remembered, how it is scored, what comes
  back.
- `bridge`: Bridges: how the encoder's last state becomes the decoder's first.
- `decoder/`: The decoder: its design, the stack that runs it, and its output layer.
- `embedding`: How ids become vectors at the entrance of an encoder or a decoder: table, scale and
  dropouts.
- `encoder`: The recurrent encoder: source ids to an encoded source and a final state.
- `recurrent/`: Recurrent layers over a sequence, and the same weights one step at a time.
- `scan`: One loop over time, on every Keras backend.
- `stack`: What encoder and decoder build their recurrent stacks from: sizes, cells and blocks.
"""
