"""The guide: the README of an exported folder.

- `facts`: Gathers what the README of an export tells, and writes it: an example, answers,
  timings.
- `parity_table`: The parity run to read: `parity.md`.
- `readme`: The README of an exported folder: how to run this model, with its names, a sentence,
  its output.
- `snippets`: Ten lines each of Python, JavaScript and C++ that run an exported ONNX model.
"""
