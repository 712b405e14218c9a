"""The settings of a training run, in one record that is checked before any file is touched.

Nothing here imports Keras, so that the help of the command line does not wait for Keras.

- `settings`: `TrainingSettings`, the record itself, with its checks and the text that it names.
- `fields`: every setting, declared once, with its type, range, default and help.
- `declaration`: `setting`, which declares a setting on a field, and `declared`, which reads them.
- `choices`: the types of settings, such as paths and the names among which a user chooses.
- `consistency`: the rules between settings that exclude or need each other.
"""
