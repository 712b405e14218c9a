"""Runtimes: what runs an exported model, and how long it takes.

- `artefacts`: Exported artefacts: where each is, what runs it, and running it out of its file.
- `latency`: How long exported models take, measured where they run: without Python's TensorFlow.
- `runner`: Runs an exported ONNX model where there is no TensorFlow: needs onnxruntime and numpy
  alone.
- `runtimes`: What runs exported artefacts: Python's TensorFlow, TensorFlow's C API, a server,
  ONNX Runtime.
"""
