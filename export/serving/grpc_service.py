"""TensorFlow Serving's gRPC interface over any session: `PredictionService.Predict`.

The messages are read and written by `wire`, so neither side needs the classes of TensorFlow
Serving. `serve_grpc` opens a port, so that the lines of an export's README can be run where there
is no server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from keras_s2s.export.serving import wire
from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.process import Servable
from keras_s2s.export.serving.warmup import read_tensor_proto, tensor_proto

SERVICE = "tensorflow.serving.PredictionService"
DEFAULT = "serving_default"
NOT_FOUND = 5


class GrpcServer:
    """Answers predict requests for one version of one model.

    Args:
        session: what runs the model.
        model: its name.
        version: its version.
    """

    def __init__(self, session: Servable, model: str, version: int = 1) -> None:
        self.session = session
        self.model = model
        self.version = version

    def predict(self, message: bytes) -> bytes:
        """A serialized PredictRequest to a serialized PredictResponse.

        Raises:
            StatusError: What is wrong with it.
        """
        request = wire.decode(message)
        spec = wire.decode(wire.one(request, 1))
        name = wire.one(spec, 1).decode()
        version = wire.number(wire.decode(wire.one(spec, 2)), 1) if 2 in spec else self.version
        if name != self.model or version != self.version:
            raise StatusError(
                NOT_FOUND, f"Servable not found for request: Specific({name}, {version})"
            )
        signature = wire.one(spec, 3).decode() or DEFAULT
        inputs = {key: read_tensor_proto(value) for key, value in wire.mapping(request, 2).items()}
        chosen = [bytes(each).decode() for each in request.get(3, [])]
        outputs = self.session.run(signature, inputs, chosen or None)
        entries = [
            (1, wire.encode([(1, key), (2, tensor_proto(array))])) for key, array in outputs.items()
        ]
        number = wire.encode([(1, self.version)])
        told = wire.encode([(1, self.model), (2, number), (3, signature)])
        return wire.encode([*entries, (2, told)])


@contextmanager
def serve_grpc(server: GrpcServer, port: int = 0) -> Iterator[int]:
    """Listens on a port of this machine while it is entered; gives the port."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    lock = threading.Lock()  # a session answers one at a time

    def predict(message: bytes, context: Any) -> bytes:
        try:
            with lock:
                return server.predict(message)
        except StatusError as error:
            context.abort(codes[error.code], str(error))
            raise

    handler = grpc.method_handlers_generic_handler(
        SERVICE, {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
    )
    listening = grpc.server(ThreadPoolExecutor(4))
    listening.add_generic_rpc_handlers((handler,))
    bound = listening.add_insecure_port(f"127.0.0.1:{port}")
    listening.start()
    try:
        yield bound
    finally:
        listening.stop(None).wait()
