"""Tests of the program that runs ONNX models without TensorFlow, as a filter and for parity."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import parser

from keras_s2s.export.onnx.graph.nodes import Nodes
from keras_s2s.export.runtimes.artefacts import RUNNER

TEXT = onnx.helper.make_tensor_value_info("text", onnx.TensorProto.STRING, ["batch"])
TRANSLATION = onnx.helper.make_tensor_value_info("translation", onnx.TensorProto.STRING, ["batch"])


def start(given: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", str(RUNNER), *arguments],
        input=given,
        capture_output=True,
        check=False,
    )


def ask(path: Path, *batches: dict[str, Any]) -> dict[str, Any]:
    done = start(json.dumps({"model": str(path), "batches": batches}).encode())
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def exclaiming(tmp_path: Path) -> Path:
    """A model that puts an exclamation mark behind every text."""
    parts = Nodes("")
    parts.add("StringConcat", ["text", parts.constant("!")], output="translation")
    onnx.save(parts.model([TEXT], [TRANSLATION], opset=20, ir_version=9), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_it_imports_nothing_but_onnxruntime_and_numpy() -> None:
    tree = ast.parse(RUNNER.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])

    beyond = found - sys.stdlib_module_names
    assert beyond == {"numpy", "onnxruntime", "onnxruntime_extensions"}


def test_lines_go_in_and_out_in_order(exclaiming: Path) -> None:
    lines = [f"line {i} 猫" for i in range(70)] + ["", "x\x85y\u2028z", "no end of line"]

    done = start("\n".join(lines).encode(), str(exclaiming))

    assert done.stdout.decode().split("\n") == [f"{line}!" for line in lines] + [""]
    assert done.stderr == b""


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("given", "expected"),
    [(b"", b""), (b"a\n", b"a!\n"), (b"\n\n", b"!\n!\n"), (b"caf\xe9\n", b"caf\xef\xbf\xbd!\n")],
)
def test_every_line_and_only_lines_are_answered(
    exclaiming: Path, given: bytes, expected: bytes
) -> None:
    assert start(given, str(exclaiming)).stdout == expected


def test_wrong_use_is_told() -> None:
    done = start(b"", "one", "two")

    assert done.returncode == 1
    assert done.stderr.startswith(b"usage: python runner.py model.onnx")


def test_batches_are_answered_with_dtype_and_shape(tmp_path: Path) -> None:
    model = parser.parse_model(
        """
        <ir_version: 9, opset_import: ["": 18]>
        agraph (int64[B,S] ids) => (float[B,S] halves, int64[B] sums) {
            two = Constant <value = float {2.0}> ()
            numbers = Cast <to = 1> (ids)
            halves = Div (numbers, two)
            axis = Constant <value = int64[1] {1}> ()
            sums = ReduceSum <keepdims = 0> (ids, axis)
        }
        """
    )
    onnx.save(model, tmp_path / "m.onnx")

    answer = ask(tmp_path / "m.onnx", {"ids": [[1, 2], [3, 4]]}, {"ids": []})

    assert answer["batches"][0] == {
        "halves": {"values": [[0.5, 1.0], [1.5, 2.0]], "dtype": "float32", "shape": [2, 2]},
        "sums": {"values": [3, 7], "dtype": "int64", "shape": [2]},
    }
    assert answer["batches"][1]["sums"] == {"values": [], "dtype": "int64", "shape": [0]}
    assert set(answer["packages"]) == {"numpy", "onnxruntime"}


@pytest.mark.thorough
def test_extensions_are_loaded_where_the_file_names_them(tmp_path: Path) -> None:
    parts = Nodes("")
    parts.add("StringUpper", ["text"], output="translation", domain="ai.onnx.contrib")
    onnx.save(parts.model([TEXT], [TRANSLATION], opset=20, ir_version=9), tmp_path / "m.onnx")

    answer = ask(tmp_path / "m.onnx", {"text": ["abc", "x y"]})

    assert answer["batches"][0]["translation"]["values"] == ["ABC", "X Y"]
    assert set(answer["packages"]) == {"numpy", "onnxruntime", "onnxruntime_extensions"}
