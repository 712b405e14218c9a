"""The command line `keras-s2s`: its commands, their options, and what they print.

Nothing here imports TensorFlow before everything that can be checked without it has been checked.

- `main`: Puts the commands together and turns errors into one line.
- `train`: The commands that make a model: `train`, `average`, `compress` and `quickstart`.
- `translate`: The commands that use a model: `translate`, `evaluate`, `score` and `explain`.
- `export`: The commands that hand a model on: `export` and `verify`.
- `recipe`: The command that reproduces a published task: `recipe`.
- `options`: The options that several commands share, and the options of commands that use a model.
- `search_options`: The options of a search, and the search that is made from them.
- `training_options`: The options of `train`, which are made from the settings of a training.
- `signature`: Makes commands from functions whose signature does not list all options.
- `models`: Finds and loads the translators that a command is given.
- `terminal`: Prints messages on the terminal, without TensorFlow's notices.
"""
