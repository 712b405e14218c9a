"""Exports trained translators: SavedModels and ONNX models, each verified against Keras.

Each public name stands once in `__init__.pyi` and is imported on its first use, because the ONNX
rooms need packages that others do without. The rooms, each importing only from those below it:

- `publication`: an export as one transaction, from a translator to its published folder.
- `guide`: the README of an exported folder.
- `onnx`: ONNX models, with tokenizers and search loops inside.
- `parity`: exported models compared with Keras, output for output.
- `runtimes`: what runs an exported model: Python, the C API, a server's rules, ONNX Runtime.
- `saved_model`: the SavedModel that TensorFlow Serving loads.
- `serving`: what a server needs and does: configuration, warm-up, batching, REST, the C API.
- `specs`: what each exported graph takes and gives.
- `tracing`, `metadata`, `errors`: beside the rooms, for all of them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
