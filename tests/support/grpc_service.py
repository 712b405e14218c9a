"""Serves TensorFlow Serving's gRPC interface, `PredictionService.Predict`, over any session.

The messages are declared here, so neither side needs the classes of TensorFlow Serving.
`serve_grpc` opens a port, so that the lines of an export's README can be run where there is no
server.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.messages import DECLARED, classes_of
from keras_s2s.export.serving.process import Servable
from keras_s2s.export.serving.warmup import read_tensor_proto, tensor_proto

SERVICE = "tensorflow.serving.PredictionService"
DEFAULT = "serving_default"
NOT_FOUND = 5

# tensorflow_serving/apis: predict.proto, model.proto; google/protobuf/wrappers.proto
_CLASSES = classes_of(
    {
        **DECLARED,
        "PredictRequest": f"{DECLARED['PredictRequest']}; repeated string output_filter = 3",
        "PredictResponse": "map<string, bytes> outputs = 1; ModelSpec model_spec = 2",
        "ModelSpec": f"{DECLARED['ModelSpec']}; Int64Value version = 2",
        "Int64Value": "int64 value = 1",
    }
)
PredictRequest, PredictResponse = _CLASSES["PredictRequest"], _CLASSES["PredictResponse"]


class GrpcServer:
    """Answers predict requests for one version of one model.

    Args:
        session: the session that runs the model.
        model: the model's name.
        version: the model's version.
    """

    def __init__(self, session: Servable, model: str, version: int = 1) -> None:
        self.session = session
        self.model = model
        self.version = version

    def predict(self, message: bytes) -> bytes:
        """Answers a serialized PredictRequest with a serialized PredictResponse.

        Raises:
            StatusError: If a server would refuse the request.
        """
        request = PredictRequest.FromString(message)
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else self.version
        if spec.name != self.model or version != self.version:
            raise StatusError(
                NOT_FOUND, f"Servable not found for request: Specific({spec.name}, {version})"
            )
        signature = spec.signature_name or DEFAULT
        inputs = {key: read_tensor_proto(value) for key, value in request.inputs.items()}
        outputs = self.session.run(signature, inputs, list(request.output_filter) or None)
        response = PredictResponse()
        for key, array in outputs.items():
            response.outputs[key] = tensor_proto(array)
        response.model_spec.name, response.model_spec.signature_name = self.model, signature
        response.model_spec.version.value = self.version
        answer: bytes = response.SerializeToString()
        return answer


@contextmanager
def serve_grpc(server: GrpcServer, port: int = 0) -> Iterator[int]:
    """Listens on a port of this machine inside the `with` block, and gives the port."""
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
