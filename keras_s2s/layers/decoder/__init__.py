"""The recurrent decoder, which predicts the next target token while it attends to the source.

- `decoder`: `Decoder`, which runs all target steps at once or one token at a time.
- `design`: The options that say how recurrent layers and attention are joined, and their checks.
- `decoder_stack`: The recurrent layers with their attention, built and run as a design says.
- `output`: The output layer: logits from hidden vectors, by its own matrix or a tied embedding.
"""
