"""ONNX graphs by hand: names, nodes, and what makes a converted graph smaller and faster.

- `hoisting`: Moves out of ONNX loops what does not change in them.
- `lookups`: Takes out of lookups what ONNX does anyway: rows that are counted from the end of a
  table.
- `names`: Names of values in ONNX graphs, the graphs inside loops included: walking and renaming.
- `nodes`: Writes ONNX graphs by hand: nodes in order, named values, constants, loop bodies.
- `recurrences`: Plain LSTM and GRU layers as one ONNX node each, where tf2onnx would write a loop
  a direction.
"""
