"""The command line `keras-s2s`: one module a command, their options, and what they say.

Nothing here imports TensorFlow before everything that can be checked without it has been checked.

- `export`: The commands that hand a model on: `export`, and `verify` for what it wrote.
- `main`: The command line: puts the commands together and turns errors into one line.
- `models`: Loads the translators that the options name.
- `options`: The options of the command line: their types, their help, and what is checked before
  a command.
- `recipe`: The command that reproduces a published task: `recipe`.
- `search_options`: From the options of the command line to a search: the one place that knows
  both.
- `signature`: How a function of keywords becomes a command: typer reads the options from its
  signature.
- `terminal`: What the command says on the terminal: its own lines, and none of TensorFlow's
  notices.
- `train`: The commands that make a model: `train`, `average`, `quickstart`.
- `training_options`: The options of `train`, made from the settings that they set, and the way
  back to the settings.
- `translate`: The commands that use a model: `translate`, `evaluate`, `score`, `explain`.
"""
