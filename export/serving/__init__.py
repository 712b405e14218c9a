"""The files that TensorFlow Serving reads beside a SavedModel, and the rules it serves by.

Everything here that runs a SavedModel does so through TensorFlow's C API, as a server does, in a
process that never imports TensorFlow. So no module here imports TensorFlow, except inside functions
that only the exporting process calls.

- `configuration`: writes batching parameters, the list of served models, and monitoring.
- `warmup`: writes and reads the requests that a server runs before a model is available.
- `registry`: knows the operators of each server, and refuses a SavedModel that needs others.
- `triton`: writes a model repository for Triton Inference Server.
- `c_api`: calls TensorFlow's C API: libraries, operators, tensors.
- `session`: loads a SavedModel through the C API and runs its signatures.
- `process`: runs such a session in a process of its own.
- `batching`: merges requests into one batch by the rules of a server.
- `rest`: answers requests by the rules of a server's REST interface.
- `json_tensors`: converts JSON to tensors and back by the rules of that interface.
- `messages`: declares the protocol buffers of TensorFlow and its server.
"""
