"""A predict request over gRPC gives the outputs of the session, or the error code of a server."""

from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import pytest

from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.warmup import read_tensor_proto, tensor_proto
from support.grpc_service import GrpcServer, PredictRequest, PredictResponse, serve_grpc
from support.served import strings

METHOD = "/tensorflow.serving.PredictionService/Predict"


class Echo:
    """Gives inputs back; fails where there are none."""

    signatures: Mapping = {}

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: object = None) -> dict:
        if not inputs:
            raise StatusError(3, "nothing came")
        chosen = outputs if isinstance(outputs, list) else list(inputs)
        return {name: inputs[name] for name in chosen}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_grpc(GrpcServer(Echo(), "m", 7)) as port:  # type: ignore[arg-type]
        yield port


def request(
    inputs: Mapping[str, np.ndarray], model: str = "m", version: int | None = None, *chosen: str
) -> bytes:
    message = PredictRequest(output_filter=chosen)
    message.model_spec.name, message.model_spec.signature_name = model, "beam"
    if version is not None:
        message.model_spec.version.value = version
    for name, array in inputs.items():
        message.inputs[name] = tensor_proto(array)
    return message.SerializeToString()


def asked(port: int, message: bytes) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return PredictResponse.FromString(channel.unary_unary(METHOD)(message, timeout=30))


INPUTS = {
    "text": strings([b"\xff", "猫".encode()]),
    "ids": np.array([[1, -2]], np.int32),
    "scores": np.array([0.5], np.float32),
}


@pytest.mark.parametrize("version", [None, 7])
def test_outputs_come_back_with_what_served_them(port: int, version: int | None) -> None:
    answer = asked(port, request(INPUTS, "m", version))
    found = {name: read_tensor_proto(value) for name, value in answer.outputs.items()}

    assert set(found) == set(INPUTS)
    for name, array in INPUTS.items():
        np.testing.assert_array_equal(found[name], array)
    assert answer.model_spec.name == "m"
    assert answer.model_spec.version.value == 7
    assert answer.model_spec.signature_name == "beam"


def test_outputs_can_be_chosen(port: int) -> None:
    answer = asked(port, request(INPUTS, "m", None, "ids"))
    assert list(answer.outputs) == ["ids"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (request(INPUTS, "other"), grpc.StatusCode.NOT_FOUND),
        (request(INPUTS, "m", 8), grpc.StatusCode.NOT_FOUND),
        (request({}), grpc.StatusCode.INVALID_ARGUMENT),
    ],
    ids=["another model", "another version", "no inputs"],
)
def test_errors_have_a_servers_codes(port: int, message: bytes, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        asked(port, message)
    assert caught.value.code() == code
