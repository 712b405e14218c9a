"""The comparison with Keras passes equal outputs, finds planted defects, and marks near ties."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from keras_s2s.export.errors import ExportError
from keras_s2s.export.onnx.models import ids_model, text_model
from keras_s2s.export.onnx.specs import ids_graph, onnx_text_spec
from keras_s2s.export.parity.comparison import compare
from keras_s2s.export.parity.reference import gap, hypotheses, source_rows
from keras_s2s.export.parity.report import Comparison, Mismatch, ParityReport
from keras_s2s.export.parity.sentences import AWKWARD, LEAST, parity_sentences
from keras_s2s.export.runtimes.artefacts import Artefact, onnx_run, signature_run
from keras_s2s.export.saved_model.files import LoadedModel
from keras_s2s.export.specs.arrays import Arrays, as_bytes, as_valid
from keras_s2s.export.specs.signatures import spec_of_ids
from keras_s2s.export.tracing import ids_function
from keras_s2s.search import BeamSearch, GreedySearch
from keras_s2s.text import WordTokenizer
from keras_s2s.translation.translator import Translator
from support.translators import texts, tiny_translator

GREEDY = GreedySearch(8)
BEAM = BeamSearch(3, n_best=2, max_length=8)


@pytest.fixture(scope="module")
def translator() -> Translator:
    return tiny_translator("char", "word", search=GREEDY)


@pytest.fixture(scope="module")
def models(
    translator: Translator, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, onnx.ModelProto]:
    ids = ids_model(translator, ids_graph(translator, "greedy", GREEDY))
    return {"ids": ids, "text": text_model(translator, onnx_text_spec(translator), ids)}


def compared(translator: Translator, artefact: Artefact, count: int = 33) -> list[Comparison]:
    found = compare(translator, [artefact], texts(count))
    assert [c.artefact for c in found[:2]] == ["keras", "keras"]
    assert all(comparison.passed for comparison in found[:2])
    return found[2:]


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


Change = Callable[[Arrays], dict[str, np.ndarray]]


def in_tensorflow(
    translator: Translator, change: Change = dict, before: Change = dict, search: Any = GREEDY
) -> Artefact:
    """An artefact that needs no conversion, with its inputs and outputs changed on the way."""
    spec = spec_of_ids(translator, "ids", search)
    function = ids_function(translator, search, spec)

    def run(batches: Sequence[Arrays]) -> list[Arrays]:
        outputs = (function(**before(batch)) for batch in batches)
        return [change({name: y.numpy() for name, y in batch.items()}) for batch in outputs]

    return Artefact("ids", run, ids=("ids", search))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("search", [GREEDY, BEAM])
def test_equal_outputs_pass_at_every_batch_size(
    translator: Translator, search: GreedySearch | BeamSearch
) -> None:
    found = compared(translator, in_tensorflow(translator, search=search))

    assert [comparison.batch_size for comparison in found] == [1, 7, 32, None]
    assert [comparison.sentences for comparison in found] == [33, 33, 33, 9]
    assert all(comparison.passed for comparison in found)
    assert all(comparison.largest_score_difference < 1e-5 for comparison in found)


def test_onnx_models_pass(
    translator: Translator, models: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    specs = {
        "ids": ids_graph(translator, "greedy", GREEDY).spec,
        "text": onnx_text_spec(translator),
    }
    for name, ids in (("ids", ("greedy", GREEDY)), ("text", None)):
        run = onnx_run(saved(models[name], tmp_path))
        found = compared(translator, Artefact(name, run, ids=ids, spec=specs[name]))

        assert [str(comparison) for comparison in found if not comparison.passed] == []


def test_changed_weights_are_found(
    translator: Translator, models: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(models["ids"])
    bias = translator.model.decoder.output_layer.bias.numpy()
    (constant,) = (
        constant
        for constant in model.graph.initializer
        if np.array_equal(numpy_helper.to_array(constant), bias)
    )
    constant.CopyFrom(
        numpy_helper.from_array(bias + np.linspace(0, 3, len(bias), dtype="f"), constant.name)
    )

    run, spec = onnx_run(saved(model, tmp_path)), ids_graph(translator, "greedy", GREEDY).spec
    found = compared(translator, Artefact("ids", run, ids=("greedy", GREEDY), spec=spec))

    assert not any(comparison.passed for comparison in found)
    first = found[0].mismatches[0]
    assert first.expected != first.received
    # Keras prefers its own token by far: no rounding.
    assert first.token_gap is not None
    assert first.token_gap > 1e-3
    assert not first.near_tie
    assert f"expected {first.expected!r}, got {first.received!r}" in str(found[0])


def test_a_wrong_vocabulary_is_found(
    translator: Translator, models: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    words = list(translator.target_tokenizer.vocabulary)
    words[0], words[1] = words[1], words[0]
    other = Translator(
        translator.model,
        translator.source_tokenizer,
        WordTokenizer(words),
        translator.search,
        translator.max_source_length,
    )
    swapped = saved(text_model(other, onnx_text_spec(other), models["ids"]), tmp_path)

    artefact = Artefact("text", onnx_run(swapped), spec=onnx_text_spec(translator))
    found = compared(translator, artefact, count=60)

    assert not found[1].passed
    for mismatch in found[1].mismatches:
        assert {words[0], words[1]} & set(mismatch.expected.split())


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("change", "objection"),
    [
        (lambda y: y | {"scores": y["scores"] + 1e-2}, "scores must be within 0.0001"),
        (lambda y: y | {"scores": y["scores"] * np.nan}, "scores must be within 0.0001"),
        (lambda y: y | {"scores": y["scores"].astype("f8")}, "scores must be float32"),
        (
            lambda y: y | {"output_ids": y["output_ids"][:, :, :-1]},
            "output_ids must have the shape",
        ),
        (lambda y: y | {"extra": y["scores"]}, "'extra'"),
        (lambda y: {"output_ids": y["output_ids"]}, "got ['output_ids']"),
    ],
)
def test_every_departure_is_objected_to(
    translator: Translator, change: Change, objection: str
) -> None:
    found = compared(translator, in_tensorflow(translator, change), count=3)

    for comparison in found:
        assert not comparison.passed
        assert objection in str(comparison)


def test_reading_what_stands_behind_a_row_is_found(translator: Translator) -> None:
    def read_all(x: Arrays) -> dict[str, np.ndarray]:
        ids = x["input_ids"]
        return {"input_ids": ids, "input_lengths": np.full(len(ids), ids.shape[1])}

    found = compared(translator, in_tensorflow(translator, before=read_all), count=14)

    assert found[0].passed  # alone, no row is padded
    assert not found[1].passed
    assert not found[2].passed


def test_dependence_on_batch_mates_is_found(translator: Translator) -> None:
    def mixed(y: Arrays) -> dict[str, np.ndarray]:
        return {name: np.roll(array, 1, axis=0) for name, array in y.items()}

    found = compared(translator, in_tensorflow(translator, mixed), count=14)

    assert [comparison.passed for comparison in found[:3]] == [True, False, False]


def test_one_wrong_token_in_one_sentence_is_found(translator: Translator) -> None:
    seen = 0

    def once(y: Arrays) -> dict[str, np.ndarray]:
        nonlocal seen
        seen += len(y["output_ids"])
        if seen == 33:
            y["output_ids"][0, 0, 0] ^= 1
        return dict(y)

    found = compared(translator, in_tensorflow(translator, once))

    assert (found[0].equal, found[0].sentences) == (32, 33)
    assert [comparison.passed for comparison in found] == [False, True, True, True]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_file_that_cannot_run_is_one_clear_failure(
    translator: Translator, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)

    (comparison,) = compared(translator, Artefact("broken", onnx_run(path)), count=3)

    assert not comparison.passed
    assert str(comparison).startswith("broken at batch 1, broken.onnx failed to run: ")
    assert "\n" not in str(comparison)


def test_a_saved_model_that_cannot_run_is_one_clear_failure(
    translator: Translator, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="missing failed to run: "):
        signature_run(LoadedModel(tmp_path / "missing"), "serving_default")([])


def test_gap_is_the_difference_of_the_scores_that_the_search_gave() -> None:
    translator = tiny_translator("char", "word", search=BEAM)
    rows = source_rows(translator, texts(8))

    for row, found in zip(rows, hypotheses(translator, BEAM, rows), strict=True):
        difference = gap(translator, BEAM, row, *found.ids)
        assert difference is not None
        assert difference.score >= 0
        # Rounding of a sum over at most eight tokens.
        assert difference.score == pytest.approx(found.scores[0] - found.scores[1], abs=1e-5)
        back = gap(translator, BEAM, row, *found.ids[::-1])
        assert back is not None
        assert back.token == pytest.approx(-difference.token, abs=1e-5)


def test_gap_of_a_greedy_output_is_positive_at_the_first_token_that_differs() -> None:
    translator = tiny_translator("char", "word", search=GREEDY)
    rows = source_rows(translator, texts(8))

    for row, found in zip(rows, hypotheses(translator, GREEDY, rows), strict=True):
        for token in (4, 5, 6):
            difference = gap(translator, GREEDY, row, found.ids[0], [token, 3])
            assert difference is None or token == found.ids[0][0] or difference.token > 0


@pytest.mark.parametrize("received", [[], [4, 10**6, 3]])
def test_there_is_no_gap_to_what_is_no_output(translator: Translator, received: list[int]) -> None:
    assert gap(translator, GREEDY, [5, 3], [4, 3], received) is None
    assert gap(translator, GREEDY, [5, 3], [4, 3], [4, 3]) is None


def test_sentences_are_enough_and_awkward(translator: Translator) -> None:
    alone = parity_sentences(translator, None)
    given = parity_sentences(translator, ["my own sentence"] * 3)
    many = parity_sentences(translator, ["my own sentence"] * 200)

    for found in (alone, given, many):
        assert set(AWKWARD) <= set(found)
        assert len(found) >= LEAST + len(AWKWARD)
        lengths = [len(ids) + 1 for ids in translator.source_tokenizer.encode(found)]
        assert min(lengths) == 1
        assert max(lengths) > translator.max_source_length
    assert given.count("my own sentence") == 3
    assert many.count("my own sentence") == 200
    assert alone == parity_sentences(translator, None)


def test_sentences_reach_each_runtime_in_a_form_it_takes(translator: Translator) -> None:
    found = parity_sentences(translator, ["lone \ud800 surrogate"])

    assert any("\ufffd" in text for text in as_valid(found))
    assert [text.encode() for text in as_valid(found)]  # valid
    with pytest.raises(UnicodeDecodeError):
        [text.decode() for text in as_bytes(found)]


def test_report_is_strict_json_and_sums_up() -> None:
    passed = Comparison("a", 7, sentences=2, equal=2, largest_score_difference=1e-6)
    failed = Comparison("b", None, 2, 1, None, [], [Mismatch("x", "y", "z", math.inf, -0.0, True)])
    report = ParityReport({"count": 2}, [passed, failed], {"versions": {}}, 1.0)

    found = json.loads(json.dumps(report.to_json(), allow_nan=False))

    assert not report.passed
    assert report.largest_score_difference == 1e-6
    assert report.failures() == [
        "b at sampled shapes, 1 of 2 outputs differ, first for 'x': expected 'y', "
        "got 'z' (a near tie)"
    ]
    assert [comparison["passed"] for comparison in found["comparisons"]] == [True, False]
    assert found["comparisons"][1]["mismatches"][0]["score_gap"] == "inf"
