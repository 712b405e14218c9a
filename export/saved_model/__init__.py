"""The SavedModel that TensorFlow Serving loads.

- `graphs`: builds the four signatures as TensorFlow functions of one module.
- `files`: writes and loads SavedModels that a stock TensorFlow Serving can load.
- `version`: writes the folder of one version: SavedModel, batching parameters, warm-up requests.
"""
