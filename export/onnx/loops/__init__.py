"""Searches written as ONNX loops around the step of a model.

- `beam`: Beam search as an ONNX loop.
- `folding`: What a step would compute anew for every token, computed once for a source.
- `greedy`: Greedy search as an ONNX loop.
- `recurrent_products`: Products of a step that depend on the state alone, taken out of it.
- `search`: Searches as ONNX loops around the step of a model: what greedy and beam search share
  there.
"""
