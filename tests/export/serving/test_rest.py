"""REST answers both formats, gives every error of a server, and takes texts of every kind."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from keras_s2s.export.serving.c_api import StatusError
from keras_s2s.export.serving.rest import RestServer
from keras_s2s.export.serving.session import Signature, TensorInfo
from support.http_service import serve_http
from support.served import Served
from support.translators import texts

STRING, INT, FLOAT, BOOL = 7, 3, 1, 10


class Echo:
    """Gives inputs back as outputs."""

    def __init__(self, change: Any = dict, **dtypes: int) -> None:
        infos = {name: TensorInfo(name, 0, dtype, (-1,)) for name, dtype in dtypes.items()}
        self.signatures = {"serving_default": Signature(infos, infos)}
        self.change = change

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Any = None) -> dict:
        found: dict = self.change(inputs)
        return found


def asked(server: RestServer, body: Any, path: str = "/v1/models/m:predict") -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    code, answer = server.answer("POST", path, content)
    return code, json.loads(answer.decode("utf-8", "surrogateescape"))


ONE = RestServer(Echo(text=STRING), "m")
TWO = RestServer(Echo(ids=INT, lengths=INT), "m")


@pytest.mark.parametrize(
    ("server", "body", "answer"),
    [
        (ONE, {"instances": ["a", "ß"]}, {"predictions": ["a", "ß"]}),
        (ONE, {"instances": [{"text": "a"}]}, {"predictions": ["a"]}),
        (ONE, {"instances": [{"b64": "YQ=="}, "b"]}, {"predictions": ["a", "b"]}),
        (ONE, {"inputs": ["a"]}, {"outputs": ["a"]}),
        (ONE, {"inputs": []}, {"outputs": []}),
        (ONE, {"inputs": {"text": ["a"]}}, {"outputs": ["a"]}),
        (ONE, {"inputs": {"b64": "YQ=="}}, {"outputs": "a"}),
        (ONE, {"inputs": {"text": ["a"], "other": 1}}, {"outputs": ["a"]}),
        (ONE, {"signature_name": "", "instances": ["a"]}, {"predictions": ["a"]}),
        (
            TWO,
            {"instances": [{"ids": [1, 2], "lengths": 2}, {"ids": [3, 4], "lengths": 1}]},
            {"predictions": [{"ids": [1, 2], "lengths": 2}, {"ids": [3, 4], "lengths": 1}]},
        ),
        (
            TWO,
            {"inputs": {"ids": [[1, 2]], "lengths": [2, 3]}},
            {"outputs": {"ids": [[1, 2]], "lengths": [2, 3]}},
        ),
    ],
)
def test_both_formats(server: RestServer, body: Any, answer: Any) -> None:
    assert asked(server, body) == (200, answer)


@pytest.mark.parametrize(
    ("server", "body", "message"),
    [
        (ONE, b"", "The document is empty"),
        (ONE, b"{", "JSON Parse error"),
        (ONE, [], "Is not object"),
        (ONE, {}, "Missing 'inputs' or 'instances' key"),
        (ONE, {"instances": ["a"], "inputs": ["a"]}, "expecting only one of"),
        (ONE, {"instances": "a"}, "to be an list/array"),
        (ONE, {"instances": []}, "No values in 'instances' array"),
        (ONE, {"instances": [1]}, "is not of expected type: string"),
        (ONE, {"instances": [None]}, "is not of expected type: string"),
        (ONE, {"instances": ["a", ["b"]]}, "Error: Expecting shape"),
        (ONE, {"instances": ["a", {"text": "b"}]}, "Expecting value/list but got object at item 1"),
        (ONE, {"instances": [{"text": "a"}, "b"]}, "Expecting object but got list at item 1"),
        (ONE, {"instances": [{"txt": "a"}]}, "does not have named input: txt"),
        (ONE, {"instances": [{"text": "a", "x": 1}]}, "does not have named input: x"),
        (ONE, {"instances": [{"b64": "!"}]}, "Unable to base64 decode"),
        (ONE, {"inputs": {"text": [{"b64": 1}]}}, "not formatted correctly for base64"),
        (ONE, {"inputs": [["a"], "b"]}, "found at incorrect level: 2"),
        (ONE, {"inputs": ["a", ["b"]]}, "Encountered list at unexpected level: 1"),
        (ONE, {"inputs": [["a"], ["b", "c"]]}, "Encountered list at unexpected size: 2"),
        (ONE, b'{"instances": ["\\ud800"]}', "surrogate pair"),
        (ONE, {"signature_name": 1, "instances": ["a"]}, "must be a string value"),
        (ONE, {"signature_name": "x", "instances": ["a"]}, '"x" not found in signature def'),
        (TWO, {"instances": [[1]]}, "instances is a plain list, but expecting list of objects"),
        (TWO, {"instances": [{"ids": [1]}]}, "keys must be equal to: ids,lengths"),
        (TWO, {"inputs": [1]}, "inputs is a plain value/list"),
        (TWO, {"inputs": {"ids": [[1]]}}, "Missing named input: lengths in 'inputs' object"),
        (
            TWO,
            {"instances": [{"ids": [1], "lengths": 1}, {"ids": [1, 2], "lengths": 2}]},
            "Expecting shape [1] but got: [2]",
        ),
        (TWO, {"inputs": {"ids": [1.5], "lengths": [1]}}, "is not of expected type: int32"),
        (TWO, {"inputs": {"ids": [2**31], "lengths": [1]}}, "is not of expected type: int32"),
        (TWO, {"inputs": {"ids": [True], "lengths": [1]}}, "Type: True is not of expected type"),
    ],
)
def test_every_error_is_a_400_that_says_what(server: RestServer, body: Any, message: str) -> None:
    code, answer = asked(server, body)

    assert code == 400
    assert list(answer) == ["error"]
    assert message in answer["error"]


def test_rows_need_outputs_that_are_rows() -> None:
    scalar = RestServer(Echo(lambda x: {"n": np.array(1), "text": x["text"]}, text=STRING), "m")
    short = RestServer(Echo(lambda x: {"n": np.zeros(1), "text": x["text"]}, text=STRING), "m")

    assert "n has no shape information" in asked(scalar, {"instances": ["a"]})[1]["error"]
    assert "inconsistent batch size: 2" in asked(short, {"instances": ["a", "b"]})[1]["error"]
    assert asked(scalar, {"inputs": ["a"]}) == (200, {"outputs": {"n": 1, "text": ["a"]}})


def test_outputs_are_written_as_a_server_writes_them() -> None:
    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            "x": np.array([0.2, 3.0, 1 / 3, -1e-30, np.nan, -np.inf], np.float32),
            "raw_bytes": np.array([b"\xff"], object),
            "text": np.array(["ß\n".encode()], object),
        }

    _, answer = RestServer(Echo(run, text=STRING), "m").answer(
        "POST", "/v1/models/m:predict", b'{"inputs": ["a"]}'
    )

    assert b"[0.2, 3.0, 0.333333343, -1e-30, NaN, -Infinity]" in answer
    assert b'{"b64": "/w=="}' in answer
    assert '"ß\\n"'.encode() in answer


@pytest.mark.parametrize(
    ("code", "http"), [(3, 400), (5, 404), (8, 429), (9, 400), (13, 500), (14, 503)]
)
def test_what_the_session_says_has_the_servers_http_code(code: int, http: int) -> None:
    def fails(inputs: object) -> dict:
        raise StatusError(code, "no")

    server = RestServer(Echo(fails, text=STRING), "m")
    assert asked(server, {"instances": ["a"]}) == (http, {"error": "no"})


def test_paths() -> None:
    body = {"instances": ["a"]}
    for path in ("m", "m/versions/1", "m/labels/stable"):
        assert asked(ONE, body, f"/v1/models/{path}:predict")[0] == 200
    for path in ("n", "m/versions/2", "m/labels/canary"):
        assert asked(ONE, body, f"/v1/models/{path}:predict")[0] == 404
    for path in ("/v1/models/m:classify", "/v2/models/m:predict", "/v1/models/m"):
        assert asked(ONE, body, path)[0] == 400
    state = json.loads(ONE.answer("GET", "/v1/models/m")[1])["model_version_status"][0]
    assert (state["version"], state["state"]) == ("1", "AVAILABLE")


# A served model over HTTP.


def post(port: int, body: Any) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models/cats:predict", content)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


@pytest.mark.thorough
def test_texts_of_every_kind_over_http(served_words: Served) -> None:
    translator = served_words.translator
    given = [*texts(5), "", "a\0b", "\U0001f642", "the cat " * 12_500]
    with serve_http(RestServer(served_words.session, "cats", 7)) as port:
        found = post(port, {"instances": given})["predictions"]
        columns = post(port, {"inputs": {"text": given[:3]}})["outputs"]
        nothing = post(port, {"inputs": []})
        invalid = post(port, b'{"instances": ["caf\xe9", "a"]}')["predictions"]
        coded = post(port, {"instances": [{"b64": base64.b64encode(b"caf\xe9").decode()}]})[
            "predictions"
        ]
        beams = post(port, {"signature_name": "beam", "instances": given[:2]})["predictions"]
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(port, {"instances": []})

    with pytest.warns(UserWarning, match="source tokens"):
        assert found == translator(given)
    assert columns == found[:3]
    assert nothing == {"outputs": []}
    assert invalid == translator(["caf\ufffd", "a"])
    assert coded == invalid[:1]
    assert [set(beam) for beam in beams] == [{"translations", "scores", "lengths"}] * 2
    assert beams[0]["translations"][0] in {
        text for text in served_words.texts([given[0].encode()], "translations")
    }
    assert caught.value.code == 400
    caught.value.close()


def test_metadata_names_every_signature(served_words: Served) -> None:
    code, answer = RestServer(served_words.session, "cats", 7).answer(
        "GET", "/v1/models/cats/metadata"
    )
    found = json.loads(answer)["metadata"]["signature_def"]["signature_def"]

    assert code == 200
    assert set(found) == {"serving_default", "beam", "ids", "alignments"}
    assert found["serving_default"]["inputs"]["text"]["dtype"] == "DT_STRING"
    assert found["ids"]["inputs"]["input_ids"]["tensor_shape"]["dim"][0]["size"] == "-1"
