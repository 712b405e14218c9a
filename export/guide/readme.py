"""The README of an exported folder: how to run this model, with its names and a real example.

`tests/export/guide/test_readme.py` runs every code block that has an answer below it. The tests run
the lines for curl and gRPC against a server's rules over TensorFlow's C API. The programs for ONNX
Runtime are in `snippets`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_s2s.export.errors import ExportError
from keras_s2s.export.guide.snippets import cpp, fence, javascript, python, quoted
from keras_s2s.export.runtimes.latency import SIZES
from keras_s2s.export.serving.configuration import LABEL, METRICS, MODELS, MONITORING
from keras_s2s.export.serving.process import Servable
from keras_s2s.export.serving.rest import RestServer
from keras_s2s.export.specs.spec import GraphSpec

README = "README.md"
MARK = "<!-- Made by keras-s2s export, which replaces it. -->"
REST_PORT, GRPC_PORT = 8501, 8500
IMAGE = "tensorflow/serving"


@dataclass(frozen=True)
class Facts:
    """The facts that the README tells.

    Attributes:
        name: the model's name.
        text: the source text of the example.
        translation: the model's translation of the example.
        ids: the ids of the example's source text, the end id last.
        search: class and settings of the search, in words.
        server: the oldest version of TensorFlow Serving that loads the SavedModel.
        version: the version of the SavedModel, or None without a SavedModel.
        specs: the declarations of the SavedModel's signatures by name.
        session: the running SavedModel that answers the requests of the README.
        onnx: the names of the ONNX files; empty without ONNX files.
        extensions: whether the text model needs onnxruntime-extensions.
        triton: whether there is a model repository for Triton.
        latencies: the seconds of a batch for each size in `latency.SIZES`, by the name of the model
            that was timed.
        machine: the machine on which the latencies were measured.
        parity: the verdict of the parity run, one sentence.
    """

    name: str
    text: str
    translation: str
    ids: Sequence[int]
    search: str
    server: str
    version: int | None = None
    specs: Mapping[str, GraphSpec] = field(default_factory=dict)
    session: Servable | None = None
    onnx: Sequence[str] = ()
    extensions: bool = False
    triton: bool = False
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    machine: str = ""
    parity: str = ""


def guide(facts: Facts) -> str:
    """Returns the README as Markdown.

    Args:
        facts: the facts to tell.

    Raises:
        ExportError: If the SavedModel does not answer a request that the README shows.
    """
    sections = [_opening(facts)]
    if facts.version is not None and facts.session is not None:
        sections += [_serving(facts, facts.version), _requests(facts, facts.session)]
        sections += [_grpc(facts), _signatures(facts)]
    if facts.onnx:
        sections += [
            python(facts.text, facts.translation, extensions=facts.extensions),
            javascript(facts.text, facts.translation, facts.ids, extensions=facts.extensions),
            cpp(facts.text, facts.translation, extensions=facts.extensions),
            _files(facts),
        ]
    if facts.triton:
        sections.append(_triton(facts))
    sections += [_latency(facts), _parity(facts)]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def _opening(facts: Facts) -> str:
    return f"""\
{MARK}

# {facts.name}

A sequence-to-sequence model, exported to run without Keras. It decodes with {facts.search}.

{fence(facts.text)}

becomes

{fence(facts.translation)}"""


def _serving(facts: Facts, version: int) -> str:
    ports = " ".join(f"-p {port}:{port}" for port in (GRPC_PORT, REST_PORT))
    return f"""\
## TensorFlow Serving

`serving/{facts.name}/{version}/` is a SavedModel for TensorFlow Serving {facts.server} or newer.
Start the server in this folder:

```bash
docker run --rm {ports} -v "$PWD/serving:/models" {IMAGE}:{facts.server}.0 \\
  --model_config_file=/models/{MODELS} --monitoring_config_file=/models/{MONITORING} \\
  --enable_batching --enable_per_model_batching_parameters
```

`{MODELS}` serves version {version} under the label `{LABEL}`. `batching_params.pbtxt` in the
version's folder tells the server how to merge requests. Before the model becomes available, the
server runs warm-up requests for every signature, alone and in the largest batch. Metrics for
Prometheus are at `:{REST_PORT}{METRICS}`."""


def _requests(facts: Facts, session: Servable) -> str:
    """Returns the section with lines for curl, each with the answer of a server."""
    server = RestServer(session, facts.name, facts.version or 1, LABEL)
    path = f"/v1/models/{facts.name}"
    texts = [facts.text]
    ids = {"input_ids": list(facts.ids), "input_lengths": len(facts.ids)}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("Translate one text or many:", path, {"instances": texts}),
        (
            "The same request in the columnar format, to the version with the label:",
            f"{path}/labels/{LABEL}",
            {"inputs": {"text": texts}},
        ),
        (
            "Several translations of each text, best first, with their scores:",
            path,
            {"signature_name": "beam", "instances": texts},
        ),
        (
            "Ids instead of text, for callers with their own tokenizer:",
            path,
            {"signature_name": "ids", "instances": [ids]},
        ),
    ]
    blocks = ["## Over REST"]
    for title, address, body in requests:
        content = json.dumps(body, ensure_ascii=False)
        code, answer = server.answer("POST", f"{address}:predict", content.encode())
        if code != 200:
            raise ExportError(
                f"A server must answer the README's request {content} with 200; it answers {code}: "
                f"{answer.decode()}"
            )
        response = json.dumps(json.loads(answer), ensure_ascii=False)
        line = curl(f"{address}:predict", content)
        blocks.append(f"{title}\n\n```bash\n{line}\n```\n\n```json\n{response}\n```")
    alignments = json.dumps(
        {"signature_name": "alignments", "instances": texts}, ensure_ascii=False
    )
    blocks.append(f"""\
The signature `alignments` tells how much attention each target token paid to each source token,
for instance to draw a heat map or to mark words:

```bash
{curl(f"{path}:predict", alignments)}
```

Ask whether the model is available, and for its signatures:

```bash
curl -s http://localhost:{REST_PORT}{path}
curl -s http://localhost:{REST_PORT}{path}/metadata
```""")
    return "\n\n".join(blocks)


def curl(path: str, body: str) -> str:
    """Returns a shell command that sends JSON to the REST port.

    Args:
        path: the path of the address, with its leading slash.
        body: the JSON to send.
    """
    argument = body.replace("'", "'\\''")
    return f"curl -s http://localhost:{REST_PORT}{path} -d '{argument}'"


def _grpc(facts: Facts) -> str:
    return f"""\
## Over gRPC

Run this after `pip install tensorflow-serving-api`:

```python
import grpc, tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

channel = grpc.insecure_channel("localhost:{GRPC_PORT}")
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
request = predict_pb2.PredictRequest()
request.model_spec.name = {quoted(facts.name)}
request.inputs["text"].CopyFrom(tf.make_tensor_proto([{quoted(facts.text)}]))
answer = stub.Predict(request, timeout=30)
print(tf.make_ndarray(answer.outputs["translation"])[0].decode())
```

{fence(facts.translation)}"""


def _signatures(facts: Facts) -> str:
    parts = ["## Signatures", "The first axis of every input and output is the batch."]
    for name, spec in facts.specs.items():
        parts.append(f"`{name}`: {spec.meaning}\n\n{spec.table()}")
    return "\n\n".join(parts)


def _files(facts: Facts) -> str:
    meanings = {
        "model.onnx": "text to text, with the n-best list, scores, tokens and alignments",
        "model.ids.onnx": "ids to ids, with the same search",
        "greedy.ids.onnx": "ids to ids, with greedy search",
        "beam.ids.onnx": "ids to ids, with beam search",
        "encoder.onnx": "the encoder alone, for callers with their own search",
        "decoder_step.onnx": "one step of the decoder, to use with the encoder",
    }
    rows = []
    for name in facts.onnx:
        whole = name.replace(".int8.onnx", ".onnx")
        meaning = meanings.get(whole, "")
        rows.append(f"| `onnx/{name}` | {meaning}{', int8' if whole != name else ''} |")
    return "\n".join(["## ONNX files", "", "| file | content |", "|---|---|", *rows])


def _triton(facts: Facts) -> str:
    extra = (
        " Put `libortextensions.so` of onnxruntime-extensions into the container's library path."
        if facts.extensions
        else ""
    )
    return f"""\
## Triton

`triton/` is a model repository with the ONNX model from text to text.{extra}

```bash
docker run --rm -p 8000:8000 -v "$PWD/triton:/models" \\
  nvcr.io/nvidia/tritonserver:25.08-py3 tritonserver --model-repository=/models
curl -s http://localhost:8000/v2/models/{facts.name}/infer -d '{_triton_body(facts)}'
```"""


def _triton_body(facts: Facts) -> str:
    body = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [facts.text]}
    return json.dumps({"inputs": [body]}, ensure_ascii=False).replace("'", "'\\''")


def _latency(facts: Facts) -> str:
    if not facts.latencies:
        return ""
    head = " | ".join(f"batch {size}" for size in SIZES)
    rows = [
        f"| {name} | {' | '.join(f'{1000 * value:.1f}' for value in seconds)} |"
        for name, seconds in facts.latencies.items()
    ]
    return "\n".join(
        [
            "## Latency",
            "",
            "Milliseconds for a whole batch from text to text: the median of several runs on "
            f"{facts.machine} at the time of the export. The figures include the effect of other "
            "work on the machine.",
            "",
            f"| | {head} |",
            f"|---|{'---|' * len(SIZES)}",
            *rows,
        ]
    )


def _parity(facts: Facts) -> str:
    return f"""\
## Proof

{facts.parity} The whole comparison is in [parity.md](parity.md), and in `parity.json` for
programs. To verify the export again, run this after `pip install 'keras-s2s[onnx]'`:

```bash
keras-s2s verify .
```"""
