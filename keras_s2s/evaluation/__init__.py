"""Evaluation of a translator's outputs, in numbers and in pictures.

- `metrics`: BLEU, chrF, WER, PER and exact match of outputs, and a declaration of each metric.
- `validation`: Keras callbacks that decode a validation set after each epoch and score it.
- `plots`: plots of attention, of learning curves and of several lines in one panel.
- `figures`: the empty Matplotlib figures that plots are drawn on, sized in inches.
- `glyphs`: fonts, and labels of tokens in which every character can be seen.
"""
