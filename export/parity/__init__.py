"""Parity: exported models compared with Keras, output for output.

- `comparison`: Compares exported artefacts with Keras, output for output.
- `expectation`: What was compared, kept beside an export: the artefacts, their inputs, what Keras
  gave for them.
- `quality`: What 8 bits cost and gain: size, time, and outputs held against references.
- `record`: The record of an export: the file by which its folder is verified.
- `reference`: What Keras gives: the outputs that exported artefacts must give, and how close a
  call was.
- `report`: What a parity run found: per artefact and batch size, how many outputs were equal,
  which not.
- `sentences`: The texts that exported artefacts are compared on.
- `tasks/`: Tasks: what exported models are asked, and how their answers are judged.
- `verification`: Verifies an exported folder again: everything that was proven when it was
  exported.
"""
