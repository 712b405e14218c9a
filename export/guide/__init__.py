"""The guide: the pages of an exported folder that people read.

- `readme`: the README, which says how to run this model and shows what it answers.
- `facts`: the facts that the README tells, gathered from a finished export.
- `snippets`: the README's programs in Python, JavaScript and C++ that run the ONNX model.
- `parity_table`: the parity run as the page `parity.md`.
"""
