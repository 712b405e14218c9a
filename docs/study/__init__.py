"""Three claims about attention, which `docs/attention_study.py` measures, one module each.

- `gradients`: Measures how much of the loss's gradient reaches each encoder state.
- `bottleneck`: Measures exact match by source length, with and without attention.
- `alignments`: Measures whether the attention of a model that reverses is on the anti-diagonal.
- `tasks`: Makes the sequences.
- `models`: Makes the models and trains them.
- `figures`: Draws the pictures.
- `files`: Writes the results.

The settings of a measurement say how much is measured. Those of `Settings()` made
`docs/attention.md`; those of `QUICK` only show that everything runs.
"""
