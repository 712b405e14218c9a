"""ONNX graphs as such: writing them node by node, and making converted ones smaller and faster.

Nothing here knows what a graph is for.

- `names`: walks through a graph and the graphs inside its loops, and renames values.
- `nodes`: writes a graph node by node, with constants and loop bodies.
- `hoisting`: moves values that do not change in a loop out of the loop.
- `lookups`: removes the treatment of negative ids from embedding lookups, which ONNX has itself.
- `recurrences`: converts plain LSTM and GRU layers to one ONNX node each instead of loops.
"""
