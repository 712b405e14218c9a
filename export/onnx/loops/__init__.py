"""Searches written as ONNX loops around the decoder step of a model.

- `search`: decides which searches have a loop, and writes what greedy and beam search share.
- `greedy`: writes greedy search.
- `beam`: writes beam search.
- `largest`: finds the largest logits of each row in a beam search, chunk by chunk.
- `folding`: moves a product with the memory from the step to the encoder, which computes it once.
- `recurrent_products`: takes products of the state out of the step, for beam search to share.
"""
