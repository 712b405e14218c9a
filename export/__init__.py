"""Exports trained translators to SavedModels and ONNX models, each verified against Keras.

Each public name is listed once, in `__init__.pyi`, and is imported on its first use, because the
room `onnx` needs packages that the others do without. A room or module imports only from those
below it in this list:

- `publication/`: An export as one transaction, from a translator to its published folder.
- `guide/`: The README of an exported folder.
- `onnx/`: ONNX models with tokenizers and search loops inside.
- `parity/`: The comparison of exported models with Keras, output for output.
- `runtimes/`: Programs that run exported models: Python, the C API, a server's rules, ONNX Runtime.
- `saved_model/`: The SavedModel that TensorFlow Serving loads.
- `serving/`: What a server needs and does: configuration, warm-up, batching, REST, the C API.
- `tracing`: The graphs of a model as TensorFlow functions, with the signatures of their specs.
- `specs/`: The plan of an export, and what each exported graph takes and returns.
- `metadata`: What the files of an export say about the model that they were made of.
- `errors`: `ExportError` and `ParityError`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
