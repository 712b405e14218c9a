"""The SavedModel that TensorFlow Serving loads.

- `files`: Writes and reads SavedModels that a stock TensorFlow Serving can load.
- `graphs`: What a SavedModel serves: the four signatures as TensorFlow functions of one module.
- `version`: Everything in the folder of one version: SavedModel, batching parameters, warm-up
  requests.
"""
