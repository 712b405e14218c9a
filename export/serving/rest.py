"""Answers requests by the rules of TensorFlow Serving's REST interface, over any session.

The paths, answers and HTTP codes follow tensorflow/serving at 2.20.0
(model_servers/http_rest_api_handler.cc, g3doc/api_rest.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.json_tensors import (
    INVALID_ARGUMENT,
    TYPE_NAMES,
    columns_json,
    parse,
    rows_json,
    tensors,
)
from keras_s2s.export.serving.process import Servable
from keras_s2s.export.serving.session import TensorInfo

DEFAULT = "serving_default"
NOT_FOUND = 5
HTTP_CODES = {
    **{1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409},
    **{11: 400, 12: 501, 13: 500, 14: 503, 15: 500, 16: 401},
}

_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[A-Za-z0-9_]+))?"
    r"(?::(?P<method>predict|classify|regress)|(?P<metadata>/metadata))?"
)


class RestServer:
    """Answers requests for one version of one model.

    Args:
        session: the session that runs the model.
        model: the model's name.
        version: the number of the version.
        label: a label of the version.
    """

    def __init__(
        self, session: Servable, model: str, version: int = 1, label: str = "stable"
    ) -> None:
        self.session = session
        self.model = model
        self.version = version
        self.label = label

    def answer(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Returns the HTTP code and the JSON with which a server answers."""
        try:
            return 200, self._answer(method, path, body).encode("utf-8", "surrogateescape")
        except StatusError as error:
            text = json.dumps({"error": str(error)}, ensure_ascii=False)
            return HTTP_CODES[error.code], text.encode("utf-8", "surrogateescape")

    def _answer(self, method: str, path: str, body: bytes) -> str:
        parts = _PATH.fullmatch(path)
        if parts is None:
            raise StatusError(INVALID_ARGUMENT, f"Malformed request: {method} {path}")
        served = (self.model, str(self.version), self.label)
        requested = (parts["model"], parts["version"], parts["label"])
        for served_name, name in zip(served, requested, strict=True):
            if name is not None and name != served_name:
                raise StatusError(
                    NOT_FOUND, f"Could not find any versions of model {parts['model']}"
                )
        if method == "POST" and parts["method"] == "predict":
            return self.predict(body)
        if method == "GET" and parts["method"] is None:
            return self._metadata() if parts["metadata"] else self._status()
        raise StatusError(INVALID_ARGUMENT, f"Malformed request: {method} {path}")

    def predict(self, body: bytes) -> str:
        """Runs a predict request and returns the JSON of its outputs.

        Raises:
            StatusError: If a server would refuse the request; the message is the server's.
        """
        request = parse(body)
        name = request.get("signature_name", DEFAULT)
        if not isinstance(name, str):
            raise StatusError(INVALID_ARGUMENT, "'signature_name' key must be a string value.")
        signature = self.session.signatures.get(name or DEFAULT)
        if signature is None:
            raise StatusError(
                INVALID_ARGUMENT, f'Serving signature name: "{name}" not found in signature def'
            )
        rows, inputs = tensors(request, signature)
        outputs = self.session.run(name or DEFAULT, inputs)
        return rows_json(outputs) if rows else columns_json(outputs)

    def _status(self) -> str:
        state = {
            "version": str(self.version),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        return json.dumps({"model_version_status": [state]})

    def _metadata(self) -> str:
        def described(infos: Mapping[str, TensorInfo]) -> dict[str, Any]:
            return {
                name: {
                    "dtype": TYPE_NAMES[info.dtype],
                    "tensor_shape": {
                        "dim": [{"size": str(size), "name": ""} for size in info.shape or ()],
                        "unknown_rank": info.shape is None,
                    },
                    "name": f"{info.operation}:{info.place}",
                }
                for name, info in infos.items()
            }

        signatures = {
            name: {
                "inputs": described(signature.inputs),
                "outputs": described(signature.outputs),
                "method_name": "tensorflow/serving/predict",
                "defaults": {},
            }
            for name, signature in self.session.signatures.items()
        }
        spec = {"name": self.model, "signature_name": "", "version": str(self.version)}
        return json.dumps(
            {
                "model_spec": spec,
                "metadata": {"signature_def": {"signature_def": signatures}},
            }
        )
