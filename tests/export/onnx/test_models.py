"""ONNX models equal Keras for every cell and attention, with standard operators, and are described.

Ids graphs run in this process; graphs with text run in another, without TensorFlow.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import ops

from keras_s2s.export.errors import ExportError
from keras_s2s.export.onnx.graph.names import nodes
from keras_s2s.export.onnx.models import ids_model, text_model
from keras_s2s.export.onnx.specs import ids_graph, onnx_text_spec
from keras_s2s.export.runtimes.artefacts import onnx_run
from keras_s2s.layers.attention import (
    Attention,
    GeneralScore,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
    LocationScore,
    Monotonic,
    MultiHeadAttention,
)
from keras_s2s.search import BeamSearch, GreedySearch, Search
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

GREEDY = GreedySearch(8)
BEAM = BeamSearch(3, n_best=2, max_length=8)
CELLS_AND_ATTENTIONS = [
    (cell, attention)
    for cell in ("lstm", "gru")
    for attention in (None, "dot", "general", "concat")
]
# A pair of each, so that the quick tests meet every cell, attention and search.
QUICK = {("lstm", None), ("gru", "dot"), ("lstm", "concat")}


class Exported:
    """A translator, one of its ids models, and a session for that."""

    def __init__(self, translator: Translator, search: Search) -> None:
        self.translator = translator
        self.search = search
        graph = ids_graph(translator, "search", search)
        self.spec = graph.spec
        self.model = ids_model(translator, graph)
        self.session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [value.name for value in self.spec.outputs]
        outputs = dict(zip(names, self.session.run(names, inputs), strict=True))
        assert self.spec.objections(inputs, outputs) == []
        return outputs

    def assert_equals_keras(self, inputs: dict[str, np.ndarray]) -> None:
        outputs = self.run(inputs)
        kept = np.arange(inputs["input_ids"].shape[1]) < inputs["input_lengths"][:, None]
        source_ids = np.where(kept, inputs["input_ids"], 0).astype("int32")
        expected = self.translator.inference_model(self.search).predict_on_batch(source_ids)
        np.testing.assert_array_equal(outputs["output_ids"], expected.ids)
        np.testing.assert_array_equal(outputs["output_lengths"], expected.lengths)
        # Rounding: seen 2e-6.
        np.testing.assert_allclose(outputs["scores"], expected.scores, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def greedy() -> Exported:
    return Exported(tiny_translator("char", "word", cell="gru"), GREEDY)


@pytest.fixture(scope="module")
def beam() -> Exported:
    return Exported(tiny_translator("char", "word", search=BEAM), BEAM)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("cell", "attention"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in CELLS_AND_ATTENTIONS
    ],
)
def test_every_cell_and_attention_equals_keras(cell: str, attention: str | None) -> None:
    search = BEAM if attention == "dot" else GREEDY
    depth = 2 if attention == "concat" else 1
    translator = tiny_translator("char", "word", cell=cell, attention=attention, depth=depth)
    exported = Exported(translator, search)

    for batch, length in ((1, 1), (4, 6), (7, 19)):
        exported.assert_equals_keras(exported.spec.sample(batch, length, seed=batch))


# Options of the decoder for every kind of state that a search's loop can carry. The slow ones add
# further mechanisms to those.
DESIGNS: dict[str, dict[str, Any]] = {
    "coverage, fed": {"attention": "coverage", "input_feeding": True},
    "parallel monotonic": {"attention": Attention("general", "monotonic")},
    "local-m": {"attention": Attention("dot", window=LocalMonotonicWindow(2))},
    "several, previous state": {"attention": ["dot", "coverage"], "attend_with": "previous"},
    "Keras cells": {
        "cell": keras.layers.StackedRNNCells([keras.layers.LSTMCell(5), keras.layers.GRUCell(6)]),
        "input_feeding": True,
        "tied_embedding": True,
        "attention_size": 8,
    },
}
MORE_DESIGNS: dict[str, dict[str, Any]] = {
    "location": {"attention": Attention(LocationScore(width=3, filters=4))},
    "recursive monotonic": {"attention": Attention("concat", Monotonic(mode="recursive"))},
    "hard monotonic": {"attention": Attention("dot", Monotonic(mode="hard"))},
    "sparsemax": {"attention": Attention("dot", "sparsemax")},
    "hardmax": {"attention": Attention("dot", "hardmax")},
    "local-p, fed": {
        "attention": Attention("dot", window=LocalPredictiveWindow(2)),
        "input_feeding": True,
    },
    "heads": {"attention": MultiHeadAttention("concat", heads=2)},
    "GNMT": {
        "attention": "normalized_concat",
        "depth": 2,
        "attention_in": "first",
        "attend_with": "previous",
        "residual": True,
        "layer_norm": True,
        "encoder": {"bidirectional": "first"},
    },
    "normalised cell": {"cell": "layer_norm_lstm"},
}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "design",
    [
        *DESIGNS,
        *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_DESIGNS),
    ],
)
def test_every_design_equals_keras(design: str) -> None:
    search = GREEDY if "monotonic" in design else BEAM
    options = (DESIGNS | MORE_DESIGNS)[design]
    exported = Exported(tiny_translator("char", "word", **options), search)

    for batch, length in ((1, 1), (7, 19)):
        exported.assert_equals_keras(exported.spec.sample(batch, length, seed=batch))


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (7, 4), (33, 11)])
@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_shapes_that_were_not_traced_equal_keras(
    kind: str, shape: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    exported: Exported = request.getfixturevalue(kind)

    exported.assert_equals_keras(exported.spec.sample(*shape, seed=2))


@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_an_empty_batch_has_an_empty_answer(kind: str, request: pytest.FixtureRequest) -> None:
    exported: Exported = request.getfixturevalue(kind)

    assert exported.run(exported.spec.sample(0, 5, seed=0))["output_ids"].size == 0


def test_a_source_without_ids_has_an_answer(beam: Exported) -> None:
    inputs = {"input_ids": np.zeros((2, 0), np.int64), "input_lengths": np.zeros(2, np.int64)}

    assert np.isfinite(beam.run(inputs)["scores"]).all()


def test_only_lengths_tell_what_is_padding(beam: Exported) -> None:
    sample = beam.spec.sample(5, 9, seed=3)
    behind = np.arange(9) >= sample["input_lengths"][:, None]
    assert behind.any()
    zeros = sample | {"input_ids": np.where(behind, 0, sample["input_ids"])}

    for name, array in beam.run(sample).items():
        np.testing.assert_array_equal(array, beam.run(zeros)[name])


def test_scores_are_numbers_where_there_are_fewer_hypotheses_than_asked_for() -> None:
    # With room for the end token alone there is one hypothesis; the second place must stay empty,
    # its score minus infinity. A choice made by multiplying with zero would make both NaN.
    exported = Exported(tiny_translator("char", "char"), BeamSearch(3, n_best=2, max_length=1))
    outputs = exported.run(exported.spec.sample(3, 4, seed=0))

    assert outputs["output_ids"][:, 0].tolist() == [[3]] * 3
    assert np.isfinite(outputs["scores"][:, 0]).all()
    assert (outputs["scores"][:, 1] == -np.inf).all()
    assert outputs["output_lengths"].tolist() == [[1, 0]] * 3


@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_graph_is_standard_onnx_with_named_axes(kind: str, request: pytest.FixtureRequest) -> None:
    exported: Exported = request.getfixturevalue(kind)
    model = exported.model
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }

    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert all(onnx.defs.has(node.op_type, 18, "") for node in nodes(model.graph))
    settings = ["min_length", "max_length"]
    if kind == "beam":
        settings += ["beam_width", "n_best", "length_penalty"]
    assert shapes == {
        "input_ids": ["batch", "source_length"],
        "input_lengths": ["batch"],
        **{name: [] for name in settings},
        "output_ids": ["batch", "n_best", "target_length"],
        "output_lengths": ["batch", "n_best"],
        "scores": ["batch", "n_best"],
        "alignments": ["batch", "n_best", "target_length", "source_length"],
    }
    assert {constant.name for constant in model.graph.initializer} >= set(settings)  # defaults
    assert all(value.doc_string for value in (*model.graph.input, *model.graph.output))
    assert model.producer_name == "keras_s2s"


def test_metadata_say_what_the_graph_was_made_of(beam: Exported) -> None:
    found = {entry.key: entry.value for entry in beam.model.metadata_props}

    assert found["library"] == "keras_s2s"
    assert [found[f"{name}_id"] for name in ("pad", "unknown", "start", "end")] == list("0123")
    assert (found["max_source_length"], found["max_target_length"]) == ("12", "8")
    search = json.loads(found["search"])
    assert (search["kind"], search["width"], search["n_best"]) == ("BeamSearch", 3, 2)
    source, target = (json.loads(found[f"{side}_tokenizer"]) for side in ("source", "target"))
    assert (source["kind"], target["kind"]) == ("CharTokenizer", "WordTokenizer")
    assert source["sha256"] != target["sha256"]


def test_an_operation_without_onnx_form_is_refused_by_name() -> None:
    @keras.saving.register_keras_serializable(package="test")
    class Winner(GeneralScore):
        def call(self, query: object, keys: object) -> object:
            scores = super().call(query, keys)
            # Keras' argmax of floats turns on a Bitcast, for which tf2onnx has no form.
            best = ops.argmax(scores, axis=-1)
            return scores + ops.cast(best, "float32")[:, :, None]

    translator = tiny_translator("char", "char", attention=Winner())

    with pytest.raises(ExportError, match=r"operators that are not ONNX's: ai.onnx.Bitcast\."):
        ids_model(translator, ids_graph(translator, "greedy", GREEDY))


def test_conversion_prints_and_changes_nothing_but_the_model(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    levels = {name: logging.getLogger(name).level for name in ("tf2onnx", "tensorflow", "")}
    translator = tiny_translator("char", "char")
    ids_model(translator, ids_graph(translator, "greedy", GreedySearch(2)))

    assert levels == {name: logging.getLogger(name).level for name in levels}
    assert caplog.records == []
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("pair", [("char", "word"), ("bpe", "unigram"), ("word", "char")])
def test_text_model_gives_the_translators_texts(pair: tuple[str, str], tmp_path: Path) -> None:
    translator = tiny_translator(*pair, search=GREEDY, cell="gru")
    given = [*texts(20), "", "  ", "the cat " * 50, "nothing known: ж", "a\0b"]
    model = text_model(
        translator,
        onnx_text_spec(translator),
        ids_model(translator, ids_graph(translator, "greedy", GREEDY)),
    )
    onnx.save(model, tmp_path / "model.onnx")

    batches = [{"text": np.array(part, object)} for part in (given, given[:1], [])]
    found = onnx_run(tmp_path / "model.onnx")(batches)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*source tokens")
        expected = translator(given)
    assert [outputs["translation"].tolist() for outputs in found] == [expected, expected[:1], []]
    assert len(set(expected)) > 5
    domains = {entry.domain for entry in model.opset_import}
    assert ("ai.onnx.contrib" in domains) == ("bpe" in pair)
    assert [value.name for value in model.graph.input] == ["text", "min_length", "max_length"]
    assert [value.name for value in model.graph.output] == [
        "translation",
        "translations",
        "scores",
        "lengths",
        "source_tokens",
        "target_tokens",
        "alignments",
    ]
