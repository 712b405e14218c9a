"""A training run: from its settings to the folder that it leaves.

- `checkpoints`: Checkpoints of a training: the best weights, the whole state to resume from, the
  last epochs.
- `choices`: The types of settings: the names among which a user chooses, and paths.
- `consistency`: Which settings of a training exclude each other, or need each other.
- `construction`: From the settings of a training to its parts: tokenizers, model, optimizer,
  translator.
- `declaration`: How a setting is declared: once, on its field of a dataclass.
- `distillation`: Sequence-level knowledge distillation: training text with the translations of a
  teacher.
- `folder`: The folder of a training: the names of its files, what it held before, who may write
  to it.
- `preparation`: Prepares a training: its text, tokenizers, model and checkpoint, and room in its
  folder.
- `progress`: Progress of a training: a bar for the running epoch, a line for each finished one.
- `retraces`: Says when a training compiles its step again and again, which costs more than the
  steps.
- `run`: Training as one call: two text files in, a translator file out. What `keras-s2s train`
  runs.
- `setting_fields`: Every setting of a training, declared once: its type, range and default, and
  what it does.
- `settings`: The settings of a training run: one record, checked before anything is read or
  written.
"""
