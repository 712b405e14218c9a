"""Trains a translator, from the settings of a run to the folder that the run leaves behind.

`run.train` is the way in. It prepares a training, fits the model and keeps the best weights. Each
of the other modules is one part of this work.

- `settings/`: the settings of a run, each declared once and checked before anything is read.
- `run`: `train`, which turns two text files into a translator file, as `keras-s2s train` does.
- `preparation`: reads the text, and makes or restores everything that a run needs to begin.
- `construction`: makes the tokenizers, the model, the optimizer and the translator from settings.
- `folder`: the folder of a run, with the names of its files and checks before anything is written.
- `checkpoints`: Keras callbacks that save the best weights, the state to resume from, and the
  translators of the last epochs.
- `progress`: a Keras callback that shows a bar for the running epoch and prints a line for each
  finished epoch.
- `retraces`: a Keras callback that warns when `fit` compiles its step again and again.
- `distillation`: sequence-level knowledge distillation, which trains on a teacher's translations.
- `joining`: joins processes on several hosts, so that they train one model together.
"""
