"""Searches as ONNX loops equal Keras for every setting of the export and of the run."""

from typing import Any

import numpy as np
import onnxruntime
import pytest

from keras_s2s.export.onnx.graph.names import bodies
from keras_s2s.export.onnx.loops.folding import folded
from keras_s2s.export.onnx.loops.search import is_composed
from keras_s2s.export.onnx.models import ids_model
from keras_s2s.export.onnx.parts import ModelParts, model_parts
from keras_s2s.export.onnx.specs import ids_graph
from keras_s2s.search import (
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    Search,
    Sockeye,
    TFABeamSearch,
)
from keras_s2s.text import WordTokenizer
from keras_s2s.translation.translator import Translator
from support.translators import tiny_translator

GREEDY = GreedySearch(9)
BEAM = BeamSearch(4, n_best=2, max_length=9)


@pytest.fixture(scope="module")
def made() -> tuple[Translator, ModelParts]:
    translator = tiny_translator("char", "word")
    return translator, model_parts(translator)


class Loop:
    """An exported search beside the Keras one."""

    def __init__(self, made: tuple[Translator, ModelParts], search: Search) -> None:
        self.translator, parts = made
        graph = ids_graph(self.translator, "search", search)
        self.spec = graph.spec
        self.model = ids_model(self.translator, graph, parts)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            self.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def assert_equals(self, search: Search, **settings: int | float) -> None:
        """With settings at run time it does what a Keras search with these does."""
        inputs = self.spec.sample(9, 7, seed=4)
        dtypes = {value.name: value.dtype for value in self.spec.inputs}
        given = {name: np.array(value, dtypes[name]) for name, value in settings.items()}
        names = [value.name for value in self.spec.outputs]
        found = dict(zip(names, self.session.run(names, inputs | given), strict=True))
        assert self.spec.objections(inputs | given, found) == []

        kept = np.arange(7) < inputs["input_lengths"][:, None]
        source_ids = np.where(kept, inputs["input_ids"], 0).astype("int32")
        expected = self.translator.inference_model(search).predict_on_batch(source_ids)
        np.testing.assert_array_equal(found["output_ids"], expected.ids)
        np.testing.assert_array_equal(found["output_lengths"], expected.lengths)
        # Rounding: seen 4e-6.
        np.testing.assert_allclose(found["scores"], expected.scores, rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(found["alignments"], expected.weights, atol=1e-5)


@pytest.fixture(scope="module")
def greedy(made: tuple[Translator, ModelParts]) -> Loop:
    return Loop(made, GREEDY)


@pytest.fixture(scope="module")
def beam(made: tuple[Translator, ModelParts]) -> Loop:
    return Loop(made, BEAM)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "search",
    [
        GreedySearch(9, min_length=4, allow_unknown=False),
        GreedySearch(9, min_length=(0.5, 1.5), length_limit=(0.4, 2)),
        GreedySearch(1),
        BeamSearch(1, max_length=9),
        BeamSearch(5, 0.0, n_best=5, max_length=9, min_length=3),
        BeamSearch(3, "tfa", n_best=2, max_length=9, length_limit=(0.5, 1), min_length=(0.3, 0)),
        BeamSearch(4, "none", n_best=3, max_length=9, stop="first", allow_unknown=False),
        # Wider than the number of tokens that may follow: 28 words and two special ids.
        BeamSearch(30, n_best=30, max_length=2),
    ],
)
def test_every_setting_equals_keras(made: tuple[Translator, ModelParts], search: Search) -> None:
    assert is_composed(search)
    Loop(made, search).assert_equals(search)


def test_settings_at_run_time_equal_a_keras_search_with_them(greedy: Loop, beam: Loop) -> None:
    greedy.assert_equals(GREEDY)
    greedy.assert_equals(GreedySearch(5), max_length=5)
    greedy.assert_equals(GreedySearch(14, min_length=12), max_length=14, min_length=12)

    beam.assert_equals(BEAM)
    beam.assert_equals(BeamSearch(7, n_best=2, max_length=9), beam_width=7)
    beam.assert_equals(BeamSearch(4, 0.0, n_best=4, max_length=9), length_penalty=0, n_best=4)
    beam.assert_equals(
        BeamSearch(3, 2.5, n_best=1, max_length=12, min_length=6),
        **{"beam_width": 3, "n_best": 1, "length_penalty": 2.5, "max_length": 12, "min_length": 6},
    )


def test_a_beam_of_one_is_greedy_search(greedy: Loop, beam: Loop) -> None:
    inputs = beam.spec.sample(9, 7, seed=1)
    one = inputs | {"beam_width": np.array(1), "length_penalty": np.array(0, "float32")}

    for name in ("output_ids", "scores"):
        (expected,), (found,) = greedy.session.run([name], inputs), beam.session.run([name], one)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_settings_beyond_their_ends_are_brought_there(beam: Loop) -> None:
    inputs = beam.spec.sample(2, 4, seed=1)

    def shape(**settings: Any) -> tuple[int, ...]:
        given = {name: np.array(value) for name, value in settings.items()}
        found: np.ndarray = beam.session.run(["output_ids"], inputs | given)[0]
        return found.shape

    assert shape(beam_width=0, n_best=5) == (2, 1, 9)
    assert shape(n_best=9) == (2, 4, 9)
    assert shape(beam_width=10**6, n_best=10**6) == (2, 30, 9)  # the vocabulary
    assert shape(max_length=-3) == (2, 2, 1)


def test_logits_that_are_not_numbers_make_scores_that_are_none(
    made: tuple[Translator, ModelParts],
) -> None:
    translator = made[0].copy()
    bias = translator.model.decoder.output_layer.bias
    bias.assign(np.full(bias.shape, np.nan))
    parts = model_parts(translator)

    for search in (GREEDY, BEAM):
        loop = Loop((translator, parts), search)
        (scores, ids) = loop.session.run(["scores", "output_ids"], loop.spec.sample(2, 3, seed=0))
        assert np.isnan(scores).all()
        assert not ids.any()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("vocabulary", [17 * 64, 1100])
def test_the_largest_of_many_logits_are_those_of_keras(vocabulary: int) -> None:
    words = WordTokenizer([f"w{i}" for i in range(vocabulary - 4)])
    translator = tiny_translator("char", words)
    kernel, bias = translator.model.decoder.output_layer.get_weights()
    # Each logit some four times, anywhere: of equal ones the first count.
    alike = np.random.default_rng(0).integers(300, size=vocabulary)
    translator.model.decoder.output_layer.set_weights([kernel[:, alike], bias[alike]])
    loop = Loop((translator, model_parts(translator)), BEAM)
    (body,) = bodies(next(node for node in loop.model.graph.node if node.op_type == "Loop"))
    assert "ReduceMax" in [node.op_type for node in body.node]

    loop.assert_equals(BEAM)
    for width in (1, 7, 30):  # 30: more than there are chunks
        loop.assert_equals(BeamSearch(width, n_best=1, max_length=9), beam_width=width, n_best=1)


def test_weights_stay_outside_the_loop_and_keys_are_made_once(beam: Loop) -> None:
    graph = beam.model.graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    (body,) = bodies(loop)
    constants = {constant.name: constant for constant in graph.initializer}
    products = [node for node in body.node if node.op_type == "MatMul"]

    # Kernel and recurrent kernel, the rest of the attention layer, output layer; attention itself
    # has two more.
    weights = [node.input[1] for node in products if node.input[1] in constants]
    assert sorted(constants[name].dims[1] for name in weights) == [16, 30, 64, 64]
    assert len(products) == 6
    assert not body.initializer
    # Those of keys, of values with their share of the attention layer, and of the first state stand
    # outside, and so does the transposition of the keys.
    outside = [node.op_type for node in graph.node]
    assert outside.count("MatMul") == 3
    assert "Transpose" in outside
    assert not any(node.op_type == "Transpose" for node in body.node)
    assert len(body.node) < 110  # 108; a conversion of the whole loop gives 329


# Designs, and the width of the values that a step reads then: that of the attentional vector where
# the encoder makes their share of it, of the encoder's states (16) where it does not.
DESIGNS: list[tuple[dict[str, Any], int]] = [
    ({"cell": "gru", "attention": "concat", "input_feeding": True, "attention_size": 10}, 10),
    ({"cell": "layer_norm_lstm", "depth": 2, "attention": "location"}, 16),
    ({"attention_size": 15, "attend_with": "previous"}, 16),
    ({"attention_size": 17}, 16),
    ({"attention_vector": "concatenation"}, 16),
    ({"cell": "gru", "depth": 2, "attention_in": "first", "attention": "scaled_general"}, 16),
]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("design", "width"), DESIGNS)
def test_what_can_be_made_once_is(design: dict[str, Any], width: int) -> None:
    translator = tiny_translator("char", "word", seed=2, **design)
    parts = model_parts(translator)
    for graph in folded(parts):
        (values,) = (v for v in (*graph.input, *graph.output) if v.name == "memory_values")
        assert values.type.tensor_type.shape.dim[-1].dim_value == width

    loop = Loop((translator, parts), BEAM)
    loop.assert_equals(BEAM)
    # The first loop may be the encoder's.
    (body,) = bodies([node for node in loop.model.graph.node if node.op_type == "Loop"][-1])
    carried = {value.name for value in body.input}
    products = [node for node in body.node if node.op_type == "MatMul"]
    assert not any(node.input[0] in carried for node in products)


@pytest.mark.thorough
def test_searches_without_a_loop_of_their_own_are_converted_whole(
    made: tuple[Translator, ModelParts],
) -> None:
    class Own(BeamSearch):
        pass

    others = [
        Own(2, max_length=4),
        GreedySearch(4, repetition_penalty=1.5),
        GreedySearch(4, no_repeat_ngram=2),
        BeamSearch(2, Sockeye(), max_length=4),
        BeamSearch(2, max_length=4, coverage_penalty=0.2),
        DiverseBeamSearch(2, groups=2, max_length=4),
        TFABeamSearch(2, max_length=4),
    ]
    assert not any(is_composed(search) for search in others)

    search = others[3]
    graph = ids_graph(made[0], "own", search)
    spec, model = graph.spec, ids_model(made[0], graph)
    assert [value.name for value in model.graph.input] == ["input_ids", "input_lengths"]
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for shape in ((3, 5), (0, 5)):
        inputs = spec.sample(*shape, seed=2)
        outputs = dict(zip([o.name for o in spec.outputs], session.run(None, inputs), strict=False))
        assert spec.objections(inputs, outputs) == []
