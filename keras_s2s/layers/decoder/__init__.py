"""The decoder: its design, the stack that runs it, and its output layer.

- `decoder`: The recurrent decoder with attention: all target steps at once, or one token at a
  time.
- `design`: The options of a decoder between its embedding and its output layer, and what they
  mean together.
- `output`: The output layer of a decoder: logits of hidden vectors, by its own matrix or a tied
  embedding.
- `stack`: The recurrent layers of a decoder with their attention: made, built and run as a design
  says.
"""
