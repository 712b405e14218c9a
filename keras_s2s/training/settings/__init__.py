"""The settings of a training run: one record that is checked before anything is read or written.

Nothing here imports Keras, so that the help of the command line does not wait for it.

- `settings`: `TrainingSettings`, the record itself, with its checks and the text that it names.
- `fields`: every setting, declared once, with its type, range, default and help.
- `declaration`: how a field declares a setting, and how others read the declarations.
- `choices`: the types of settings, namely the names among which a user chooses, and paths.
- `consistency`: the rules that hold between settings, which exclude or need each other.
"""
