"""OpenVINO, in an environment of its own, gives the same ids from the exported SavedModel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from support.served import Served

VARIABLE = "KERAS_S2S_OPENVINO"
PROGRAM = """
import json, sys
import numpy as np
import openvino as ov

model = ov.convert_model(sys.argv[1])
# Its default on processors with bfloat16 is to compute in that.
compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
for line in sys.stdin:
    given = {name: np.array(rows, np.int32) for name, rows in json.loads(line).items()}
    found = compiled(given)
    print(json.dumps({key.get_any_name(): value.tolist() for key, value in found.items()}))
assert "tensorflow" not in sys.modules
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder to import OpenVINO from, away from this environment."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    folder = tmp_path_factory.mktemp("openvino")
    command = ["install", "--quiet", "--no-deps", "--target", str(folder), "openvino"]
    got = subprocess.run([sys.executable, "-m", "pip", *command], capture_output=True, check=False)
    if got.returncode:
        pytest.skip(f"cannot install openvino; unpack it and name its folder in {VARIABLE}")
    return str(folder)


@pytest.mark.slow
def test_openvino_gives_the_same_ids(served_words: Served, packages: str, tmp_path: Path) -> None:
    # OpenVINO converts the default signature alone, and has no operators for characters.
    folder = shutil.copytree(served_words.folder, tmp_path / "1")
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    signatures["serving_default"].CopyFrom(signatures["ids"])
    for name in ("ids", "beam", "alignments"):
        del signatures[name]
    path.write_bytes(saved.SerializeToString())

    draw = np.random.default_rng(0)
    size = served_words.translator.source_tokenizer.vocabulary_size
    batches = [
        {
            "input_ids": draw.integers(4, size, (batch, length)).astype(np.int32),
            "input_lengths": draw.integers(1, length, batch, endpoint=True).astype(np.int32),
        }
        for batch, length in ((1, 1), (3, 5), (7, 12))
    ]
    lines = [json.dumps({k: array.tolist() for k, array in batch.items()}) for batch in batches]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": packages},
    )
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    for batch, found in zip(batches, answers, strict=True):
        expected = served_words.session.run("ids", batch)
        for name in ("output_ids", "output_lengths"):
            assert found[name] == expected[name].tolist()
        # Other kernels, other rounding, over at most eight tokens.
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-4)
