"""Publication: an export as one transaction, from a translator to its published folder.

- `export`: `export_translator`, which plans, writes, proves and publishes an export.
- `preconditions`: the conditions that must hold before an export does any work.
- `places`: the folders of an export, and the checks that they are free.
- `proof`: the proof of an export: the parity run with Keras, and the measurement of int8.
- `staging`: folders that appear whole or not at all.
"""
