"""Every command in the README of an exported folder runs, if it can run on this machine."""

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
import pytest

from keras_s2s.export.guide import facts
from keras_s2s.export.guide.facts import example, in_words, verdict
from keras_s2s.export.guide.readme import GRPC_PORT, MARK, REST_PORT, Facts, curl, guide
from keras_s2s.export.parity.report import Comparison, ParityReport
from keras_s2s.export.runtimes.latency import SIZES
from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.serving.rest import RestServer
from keras_s2s.export.specs.signatures import signature_specs
from support.grpc_service import GrpcServer, serve_grpc
from support.http_service import serve_http
from support.served import Exported, Served

HEADERS_VARIABLE = "KERAS_S2S_ONNXRUNTIME_HEADERS"
API_VARIABLE = "KERAS_S2S_SERVING_API"
NODE_VARIABLE = "KERAS_S2S_NODE_MODULES"


@pytest.fixture(scope="module")
def readme(exported_cats: Exported) -> str:
    return (exported_cats.folder / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[tuple[str, str]]:
    """Code in a language, with the block that follows it, which is what it prints."""
    found = re.findall(r"```(\w+)\n(.*?)\n```", text, re.DOTALL)
    answers = [*found[1:], ("", "")]
    return [
        (code, answer if kind in ("text", "json") else "")
        for (name, code), (kind, answer) in zip(found, answers, strict=True)
        if name == language
    ]


@contextmanager
def listening(session: RemoteSession, name: str) -> Iterator[int]:
    with serve_http(RestServer(session, name, 1)) as port:
        yield port


@pytest.mark.thorough
def test_the_example_is_what_the_translator_gives(readme: str, exported_cats: Exported) -> None:
    (_, text), (_, translation) = re.findall(r"```(text)\n(.*?)\n```", readme, re.DOTALL)[:2]

    assert readme.startswith(MARK)
    assert exported_cats.translator(text) == translation
    assert text.strip()
    assert translation.strip()


@pytest.mark.thorough
def test_every_curl_line_gives_the_answer_below_it(readme: str, exported_cats: Exported) -> None:
    lines = [
        (line, answer)
        for code, answer in blocks(readme, "bash")
        for line in code.splitlines()
        if line.startswith("curl") and f":{REST_PORT}/" in line
    ]
    assert len(lines) == 7
    assert exported_cats.report.saved_model is not None
    with (
        RemoteSession(exported_cats.report.saved_model) as session,
        listening(session, "cats") as port,
    ):
        for line, answer in lines:
            run = subprocess.run(
                ["bash", "-c", line.replace(f":{REST_PORT}", f":{port}")],
                capture_output=True,
                check=True,
                text=True,
            )
            found = json.loads(run.stdout)
            assert "error" not in found, (line, found)
            if answer:
                assert found == json.loads(answer)


@pytest.mark.thorough
def test_the_lines_of_python_print_the_answer_below_them(
    readme: str, exported_cats: Exported
) -> None:
    ((code, answer),) = [pair for pair in blocks(readme, "python") if "onnxruntime" in pair[0]]
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=exported_cats.folder,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )

    assert run.stdout.decode() == f"{answer}\n", run.stderr.decode()
    assert answer


@pytest.mark.thorough
def test_what_stands_in_it_is_there(readme: str, exported_cats: Exported) -> None:
    folder = exported_cats.folder
    for path in re.findall(r"`((?:onnx|serving|triton)/[^`]*?)`", readme):
        assert (folder / path).exists(), path
    for name in (path.name for path in (folder / "onnx").iterdir()):
        assert f"`onnx/{name}`" in readme
    assert (folder / "parity.md").exists()
    for spec in signature_specs(exported_cats.translator, exported_cats.translator.search).values():
        assert spec.meaning in readme
    table = readme.split("## Latency")[1].split("## Proof")[0]
    times = [float(cell) for cell in re.findall(r"\| (\d+\.\d) ", table)]
    assert len(times) == 2 * len(SIZES)
    assert all(time > 0 for time in times)
    assert "gave the tokens that Keras gives" in readme
    for placeholder in ("TODO", "YOUR", "<name>", "PATH/TO", "None"):
        assert placeholder not in readme


@pytest.mark.thorough
def test_verify_proves_it_once_more(exported_cats: Exported) -> None:
    from keras_s2s.export import verify_export

    assert verify_export(exported_cats.folder).failures() == []


@pytest.mark.slow
def test_the_lines_over_grpc_print_the_answer_below_them(
    readme: str, exported_cats: Exported
) -> None:
    path = os.environ.get(API_VARIABLE)
    probe = [sys.executable, "-c", "import tensorflow_serving.apis.predict_pb2"]
    env = {**os.environ, "PYTHONPATH": path or "", "PYTHONIOENCODING": "utf-8"}
    if subprocess.run(probe, env=env, capture_output=True, check=False).returncode:
        pytest.skip(f"needs tensorflow-serving-api, installed or unpacked in {API_VARIABLE}")
    ((code, answer),) = [pair for pair in blocks(readme, "python") if "grpc" in pair[0]]
    assert exported_cats.report.saved_model is not None
    with (
        RemoteSession(exported_cats.report.saved_model) as session,
        serve_grpc(GrpcServer(session, "cats")) as port,
    ):
        run = subprocess.run(
            [sys.executable, "-c", code.replace(f":{GRPC_PORT}", f":{port}")],
            capture_output=True,
            check=False,
            env=env,
        )
    assert run.stdout.decode() == f"{answer}\n", run.stderr.decode()


@pytest.mark.slow
def test_the_lines_of_javascript_print_the_answer_below_them(
    readme: str, exported_cats: Exported, tmp_path: Path
) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    modules = os.environ.get(NODE_VARIABLE)
    if modules:
        (tmp_path / "node_modules").symlink_to(modules)
    else:
        npm = shutil.which("npm")
        # The libraries are in the package; its installation script would fetch those for GPUs.
        command = [npm or "npm", "install", "--silent", "--ignore-scripts", "onnxruntime-node"]
        got = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        if got.returncode:
            pytest.skip(
                f"cannot install onnxruntime-node; name its node_modules in {NODE_VARIABLE}"
            )
    (tmp_path / "onnx").symlink_to(exported_cats.folder / "onnx")
    ((code, answer),) = blocks(readme, "javascript")
    (tmp_path / "run.mjs").write_text(code, encoding="utf-8")
    run = subprocess.run(
        ["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert run.stdout == f"{answer}\n", run.stderr


@pytest.mark.slow
def test_the_lines_of_cpp_print_the_answer_below_them(
    readme: str, exported_cats: Exported, tmp_path: Path
) -> None:
    headers = Path(os.environ.get(HEADERS_VARIABLE, "/usr/include/onnxruntime"))
    compiler = shutil.which("g++")
    if compiler is None or not (headers / "onnxruntime_cxx_api.h").exists():
        pytest.skip(
            "needs g++ and the headers of ONNX Runtime (Debian: libonnxruntime-dev) in "
            f"/usr/include/onnxruntime or {HEADERS_VARIABLE}"
        )
    ((code, answer),) = blocks(readme, "cpp")
    (tmp_path / "run.cpp").write_text(code, encoding="utf-8")
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    command = [compiler, "-std=c++17", f"-I{headers}", "run.cpp", str(library), "-o", "run"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    # The library calls itself by its first number.
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)
    run = subprocess.run(
        [tmp_path / "run"],
        cwd=exported_cats.folder,
        capture_output=True,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": f"{tmp_path}:{library.parent}"},
    )
    assert run.stdout.decode() == f"{answer}\n", run.stderr.decode()


# Without an export.


@pytest.mark.thorough
def test_sentencepiece_models_register_the_extensions(served_pieces: Served) -> None:
    text = guide(
        Facts(
            name="m",
            text='say "it\'s"',
            translation="ja",
            ids=[5, 3],
            search="greedy",
            server="2.20",
            onnx=("model.onnx", "model.int8.onnx"),
            extensions=True,
            triton=True,
        )
    )

    assert "register_custom_ops_library" in blocks(text, "python")[0][0]
    assert "RegisterCustomOpsLibrary" in blocks(text, "cpp")[0][0]
    assert "model.ids.onnx" in blocks(text, "javascript")[0][0]
    assert ", int8 |" in text
    assert "TensorFlow Serving" not in text
    assert 'np.array(["say \\"it\'s\\""]' in blocks(text, "python")[0][0]


def test_a_quote_in_a_text_stays_one_argument_of_the_shell() -> None:
    line = curl("/x", '{"instances": ["it\'s"]}').replace("curl -s", "printf '%s\\n'")
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == '{"instances": ["it\'s"]}'


def test_the_example_can_be_printed_and_becomes_something() -> None:
    assert example([" ", "a\tb", "ab", "cd"], ["x", "y", "", "z"]) == 3
    assert example(["\n"], ["x"]) == 0


def test_the_verdict_counts_ways_and_sentences() -> None:
    found = [Comparison(name, 1, 3, 3, 2e-6) for name in ("keras", "a", "a", "b")]
    assert "each of 2 ways" in verdict(ParityReport({"count": 3}, found, {}, 0.0))
    assert in_words({"kind": "GreedySearch", "max_length": 9}) == "GreedySearch (max length 9)"


def test_examples_in_the_documentation() -> None:
    found = doctest.testmod(facts)
    assert found.attempted > 0
    assert found.failed == 0
