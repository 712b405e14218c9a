"""What `docs/attention_study.py` measures: three claims about attention, one module each.

`tasks` makes the sequences, `models` the models and their training, `gradients`, `bottleneck` and
`alignments` measure, `figures` draws, `files` writes. Settings say how much is measured; the plain
ones made `docs/attention.md`, the `QUICK` ones only show that everything runs.
"""
