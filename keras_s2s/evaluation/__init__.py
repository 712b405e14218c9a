"""Evaluation: metrics of outputs, validation by decoding, and plots.

- `glyphs`: How a token is written on a picture: the fonts, and a mark for what cannot be seen or
  drawn.
- `metrics`: Scores of outputs against one or several references each: BLEU, chrF, exact match,
  WER, PER.
- `plots`: Pictures of a model: what each target token attended to, and how training went.
- `validation`: Metrics of what a model says, not of what it would have said next: callbacks that
  decode.
"""
