"""Recurrent layers of encoders become ONNX nodes with the same results, or stay loops."""

from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest

from keras_s2s.export.onnx.graph.names import nodes
from keras_s2s.export.onnx.graph.recurrences import marked
from keras_s2s.export.onnx.parts import ModelParts, model_parts
from keras_s2s.layers.recurrent import RecurrentBlock
from keras_s2s.translation.translator import Translator
from support.translators import tiny_translator

IDS = np.array([[5, 6, 7, 8, 3], [9, 3, 11, 11, 11], [7, 8, 9, 3, 12], [3, 12, 4, 5, 6]])
LENGTHS = np.array([5, 2, 4, 0])


def run_encoder(parts: ModelParts, ids: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(
        parts.encoder.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    inputs = {"input_ids": ids, "input_lengths": lengths}
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_encodes_as_keras(translator: Translator, parts: ModelParts) -> None:
    found = run_encoder(parts, IDS, LENGTHS)
    kept = np.arange(IDS.shape[1]) < LENGTHS[:, None]
    memory, state = translator.model.encode(np.where(kept, IDS, 0))

    expected = [*keras.tree.flatten(memory), *keras.tree.flatten(state)]
    for name, tensor in zip((*parts.memory, *parts.state), expected, strict=True):
        # Seen 2e-7: products are added in another order.
        np.testing.assert_allclose(found[name], tensor, atol=2e-6, err_msg=name)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("cell", "encoder", "expected"),
    [
        # One node a layer, both directions in it, and no loop.
        ("lstm", {}, {"LSTM": 1}),
        ("gru", {"depth": 2, "bidirectional": "first"}, {"GRU": 2}),
        # Read from the end, or of another cell: a loop a direction.
        ("lstm", {"reverse_source": True}, {"Loop": 2}),
        ("layer_norm_lstm", {}, {"Loop": 2}),
    ],
)
def test_layers_become_nodes_and_give_what_keras_gives(
    cell: str, encoder: dict[str, Any], expected: dict[str, int]
) -> None:
    depth = encoder.pop("depth", 1)
    translator = tiny_translator("char", "word", cell=cell, encoder=encoder, depth=depth)
    parts = model_parts(translator)

    kinds = [node.op_type for node in nodes(parts.encoder.graph)]
    found = {kind: kinds.count(kind) for kind in ("LSTM", "GRU", "Loop") if kind in kinds}
    assert found == expected
    assert_encodes_as_keras(translator, parts)


@pytest.mark.thorough
def test_sequence_lengths_end_each_row() -> None:
    translator = tiny_translator("char", "word")
    parts = model_parts(translator)
    (layer,) = (node for node in parts.encoder.graph.node if node.op_type == "LSTM")
    assert layer.input[4] != ""

    alone = run_encoder(parts, IDS[1:2, :2], LENGTHS[1:2])
    among = run_encoder(parts, IDS, LENGTHS)
    for name in parts.state:
        np.testing.assert_array_equal(alone[name][0], among[name][1])


def test_an_empty_batch_is_one_row_of_padding() -> None:
    # ONNX Runtime's LSTM ends the process on no rows at all.
    found = run_encoder(
        model_parts(tiny_translator("char", "word")),
        np.zeros((0, 4), "int64"),
        np.zeros(0, "int64"),
    )

    assert {len(array) for array in found.values()} == {1}
    assert not found["memory_mask"].any()


def test_marks_last_as_long_as_the_trace() -> None:
    translator = tiny_translator("char", "word")
    blocks = [b for b in translator.model._flatten_layers() if isinstance(b, RecurrentBlock)]
    before = translator.model.encode(IDS)[0].values

    with marked(translator.model):
        assert any(block.substitute for block in blocks)

    assert not any(block.substitute for block in blocks)
    np.testing.assert_array_equal(before, translator.model.encode(IDS)[0].values)
