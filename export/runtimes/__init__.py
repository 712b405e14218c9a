"""Runs exported models in each of their runtimes, and measures how long they take.

- `artefacts`: describes an exported graph: where it is, what runs it, and how to run its file.
- `runtimes`: runs artefacts in Python's TensorFlow, TensorFlow's C API, a server or ONNX Runtime.
- `runner`: runs an ONNX model where only onnxruntime and numpy are installed.
- `latency`: measures how long an exported model takes, without Python's TensorFlow.
"""
