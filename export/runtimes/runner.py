"""Runs an exported ONNX model where only onnxruntime and numpy are installed.

    python runner.py model.onnx < source.txt > target.txt

translates line by line; a model with SentencePiece needs onnxruntime-extensions as well. `Pair` is
an example of how to write your own search around `encoder.onnx` and `decoder_step.onnx`.

The comparison with Keras starts this file as a separate process, since TensorFlow and
onnxruntime-extensions crash in one process. Without arguments, this file reads `{"model": path,
"batches": [{input name: rows}]}` from standard input, with the path of the step as `"step"` for a
pair, and writes `{"batches": [{output name: rows}], "packages": {name: version}}`. So nothing here
imports the rest of the library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

DTYPES = {"tensor(string)": object, "tensor(int64)": np.int64, "tensor(float)": np.float32}
EXTENSIONS_DOMAIN = b"ai.onnx.contrib"


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Opens a session for a file, with onnxruntime-extensions if the file names their domain."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    if EXTENSIONS_DOMAIN in path.read_bytes():
        import onnxruntime_extensions

        options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Pair:
    """A greedy search around the files of an encoder and a decoder step.

    Args:
        encoder: path of `encoder.onnx`.
        step: path of `decoder_step.onnx`.
    """

    def __init__(self, encoder: Path, step: Path) -> None:
        self.encoder, self.step = open_session(encoder), open_session(step)
        settings = self.step.get_modelmeta().custom_metadata_map
        self.start_id, self.end_id, self.pad_id, self.max_length = (
            int(settings[name]) for name in ("start_id", "end_id", "pad_id", "max_target_length")
        )

    def get_inputs(self) -> list[Any]:
        """Returns the inputs of the encoder, as a session does."""
        return list(self.encoder.get_inputs())

    def search(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Decodes a batch.

        Returns:
            `output_ids` int64 [batch, 1, max_length], `output_lengths` int64 and `scores` float32
            [batch, 1], where a score is a log-probability.
        """
        names = [value.name for value in self.encoder.get_outputs()]
        values = dict(zip(names, self.encoder.run(None, inputs), strict=True))
        step_inputs = {value.name for value in self.step.get_inputs()}
        rows = len(inputs["input_ids"])
        ids = np.full((rows, 1, self.max_length), self.pad_id)
        lengths, scores = np.zeros((rows, 1), np.int64), np.zeros((rows, 1), np.float32)
        tokens = np.full(max(rows, 1), self.start_id)  # an empty batch is encoded as one row
        live = np.ones(rows, bool)
        for t in range(self.max_length if rows else 0):
            feeds = {name: values[name] for name in step_inputs if name != "tokens"}
            names = [value.name for value in self.step.get_outputs()]
            arrays = self.step.run(None, {"tokens": tokens, **feeds})
            outputs = dict(zip(names, arrays, strict=True))
            # The new state of a step is the state that the next one reads.
            values |= {
                name.removeprefix("new_"): value
                for name, value in outputs.items()
                if name.startswith("new_")
            }
            logits = outputs["logits"]
            tokens = logits.argmax(axis=-1)
            if t == self.max_length - 1:
                tokens[:] = self.end_id
            shifted = logits - logits.max(axis=-1, keepdims=True)
            log_probs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
            ids[live, 0, t] = tokens[live]
            scores[live, 0] += log_probs[np.arange(rows), tokens][live]
            lengths[live] += 1
            live &= tokens != self.end_id
            if not live.any():
                break
        return {"output_ids": ids, "output_lengths": lengths, "scores": scores}


def run_batches(
    session: onnxruntime.InferenceSession | Pair, batches: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Runs batches of nested lists and yields nested lists, with dtype and shape of each output."""
    inputs = {value.name: value for value in session.get_inputs()}
    if isinstance(session, onnxruntime.InferenceSession):
        inputs |= {value.name: value for value in session.get_overridable_initializers()}
    for batch in batches:
        feeds = {}
        for name, rows in batch.items():
            array = np.array(rows, DTYPES[inputs[name].type])
            # The shape of a list without rows lacks the axes behind the first.
            missing = len(inputs[name].shape) - array.ndim
            feeds[name] = array.reshape(array.shape + (1,) * missing)
        if isinstance(session, Pair):
            outputs = session.search(feeds)
        else:
            names = [value.name for value in session.get_outputs()]
            outputs = dict(zip(names, session.run(names, feeds), strict=True))
        yield {
            name: {"values": array.tolist(), "dtype": str(array.dtype), "shape": array.shape}
            for name, array in outputs.items()
        }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answers a request of the comparison with Keras."""
    model, step = Path(request["model"]), request.get("step")
    session = Pair(model, Path(step)) if step else open_session(model)
    batches = list(run_batches(session, request["batches"]))
    names = ("numpy", "onnxruntime", "onnxruntime_extensions", "tensorflow")
    loaded = {name: sys.modules[name].__version__ for name in names if name in sys.modules}
    return {"batches": batches, "packages": loaded}


def translate_lines(path: Path, batch_size: int = 32) -> None:
    """Translates standard input to standard output, line by line."""
    session = open_session(path)
    texts = sys.stdin.buffer.read().decode("utf-8", "replace").split("\n")
    if texts[-1] == "":
        texts.pop()
    for first in range(0, len(texts), batch_size):
        for batch in run_batches(session, [{"text": texts[first : first + batch_size]}]):
            lines = "".join(f"{line}\n" for line in batch["translation"]["values"])
            sys.stdout.buffer.write(lines.encode())
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        translate_lines(Path(sys.argv[1]))
    elif len(sys.argv) == 1:
        json.dump(answer(json.load(sys.stdin)), sys.stdout)
    else:
        sys.exit("usage: python runner.py model.onnx < source.txt > target.txt")
