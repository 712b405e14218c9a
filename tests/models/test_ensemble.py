"""Ensembles equal NumPy and, with one member, the model itself; they are saved and exported."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from keras_s2s.export.onnx.models import ids_model
from keras_s2s.export.onnx.specs import ids_graph
from keras_s2s.export.saved_model.files import LoadedModel, write_saved_model
from keras_s2s.export.specs.signatures import spec_of_ids
from keras_s2s.models.ensemble import Ensemble
from keras_s2s.models.inference import Decodable
from keras_s2s.search import BeamSearch
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.combination import ensemble_translators
from keras_s2s.translation.scoring import ScoringModel, score_rows
from keras_s2s.translation.translator import Translator
from support.served import planned
from support.translators import texts, tiny_translator

MEANS = ["probabilities", "log_probabilities"]
TEXTS = texts(9, seed=1)
BEAM = BeamSearch(3, n_best=2, max_length=8)


def made(seed: int = 1, **given: Any) -> Translator:
    return tiny_translator("char", "word", seed=seed, search=BEAM, **{"cell": "gru", **given})


@pytest.fixture(scope="module")
def members() -> list[Translator]:
    """Three that differ in cell, depth and attention; the last has none."""
    return [made(1), made(2, cell="lstm", depth=2), made(3, attention=None)]


def models(translators: list[Translator]) -> list[Decodable]:
    return [translator.model for translator in translators]


def inputs_for(translator: Translator) -> dict[str, np.ndarray]:
    target = np.random.default_rng(0).integers(4, 12, size=(len(TEXTS), 5))
    return {"source_ids": translator.source_ids(TEXTS), "target_ids": target}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype("float64")
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("weights", [None, [1, 5, 2]])
def test_logits_are_the_mean_of_the_members(
    members: list[Translator], mean: str, weights: list[float] | None
) -> None:
    inputs = inputs_for(members[0])
    each = [log_softmax(np.array(model(inputs))) for model in models(members)]
    shares = np.array(weights or [1, 1, 1]) / sum(weights or [1, 1, 1])

    found = np.array(Ensemble(models(members), mean, weights)(inputs))

    if mean == "probabilities":
        expected = np.log(sum(w * np.exp(p) for w, p in zip(shares, each, strict=True)))
    else:
        expected = log_softmax(sum(w * p for w, p in zip(shares, each, strict=True)))
    # float32 logits up to 20: their rounding is 2e-6.
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("mean", MEANS)
def test_equal_members_are_one_member(mean: str) -> None:
    one = made()
    both = ensemble_translators([one, one.copy()], mean)

    for ours, theirs in zip(both.translate(TEXTS), one.translate(TEXTS), strict=True):
        assert [best.ids for best in ours] == [best.ids for best in theirs]
        np.testing.assert_allclose(
            [best.log_prob for best in ours], [best.log_prob for best in theirs], rtol=1e-5
        )
        np.testing.assert_allclose(ours[0].weights, theirs[0].weights, atol=1e-5)


@pytest.fixture(scope="module", params=MEANS)
def together(members: list[Translator], request: pytest.FixtureRequest) -> Translator:
    return ensemble_translators(members[:2], request.param, [1, 2])


@pytest.mark.quick_cases(1)
def test_members_together_say_what_none_says_alone(
    members: list[Translator], together: Translator
) -> None:
    # Or else the other tests would not see which member was asked.
    assert all(together(TEXTS) != member(TEXTS) for member in members[:2])


@pytest.mark.quick_cases(1)
def test_scores_of_a_beam_are_those_of_rescoring(together: Translator) -> None:
    found = [
        (row, one)
        for row, hypotheses in zip(
            together.source_ids(TEXTS).tolist(), together.translate(TEXTS), strict=True
        )
        for one in hypotheses
    ]
    scores = score_rows(
        ScoringModel(together.model),
        [row for row, _ in found],
        [one.ids for _, one in found],
        start_id=2,
        pad_id=0,
    )
    np.testing.assert_allclose(
        [one.log_prob for _, one in found], [score.log_prob for score in scores], rtol=1e-4
    )


def test_attention_is_the_mean_of_the_members_that_attend(members: list[Translator]) -> None:
    ensemble = Ensemble(models(members), weights=[1, 3, 4])
    ids, tokens = members[0].source_ids(TEXTS), np.full(len(TEXTS), 2)

    def weights(model: Decodable) -> np.ndarray:
        memory, state = model.encode(ids)
        return np.array(model.step(tokens, state, memory)[2])

    first, second, nothing = map(weights, models(members))
    assert not nothing.any()
    # Of the weights 1, 3, 4 the last is that of a member without attention.
    np.testing.assert_allclose(weights(ensemble), 0.25 * first + 0.75 * second, atol=1e-6)
    assert ensemble.attends
    alone = Ensemble([members[2].model])
    assert not alone.attends
    assert not weights(alone).any()


@pytest.mark.quick_cases(1)
def test_loaded_ensemble_says_the_same(together: Translator, tmp_path: Path) -> None:
    together.save(tmp_path / "e.keras")

    loaded = load_translator(tmp_path / "e.keras")

    assert loaded.model.mean == together.model.mean
    assert loaded.model.member_weights == together.model.member_weights
    for ours, theirs in zip(loaded.translate(TEXTS), together.translate(TEXTS), strict=True):
        assert [(one.text, one.score) for one in ours] == [(one.text, one.score) for one in theirs]


def test_optimizers_of_the_members_are_not_saved(tmp_path: Path) -> None:
    one = made()
    one.model.compile()
    one.model.fit(inputs_for(one), inputs_for(one)["target_ids"], verbose=0)
    assert one.model.optimizer.built
    ensemble_translators([one]).save(tmp_path / "e.keras")

    loaded = load_translator(tmp_path / "e.keras")

    assert not loaded.model.members[0].compiled
    assert loaded(TEXTS) == one(TEXTS)


@pytest.mark.quick_cases(1)
def test_exported_ids_are_those_of_keras(together: Translator) -> None:
    spec = spec_of_ids(together, "search", BEAM)
    session = onnxruntime.InferenceSession(
        ids_model(together, ids_graph(together, "search", BEAM)).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    for batch, length in ((1, 1), (7, 19)):
        sample = spec.sample(batch, length, seed=batch)
        ids, scores = session.run(["output_ids", "scores"], sample)
        kept = np.arange(length) < sample["input_lengths"][:, None]
        source_ids = np.where(kept, sample["input_ids"], 0).astype("int32")
        expected = together.inference_model(BEAM).predict_on_batch(source_ids)
        np.testing.assert_array_equal(ids, expected.ids)
        np.testing.assert_allclose(scores, expected.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.quick_cases(1)
def test_saved_model_says_what_keras_says(together: Translator, tmp_path: Path) -> None:
    write_saved_model(planned(together), tmp_path / "1")

    served = LoadedModel(tmp_path / "1").signature()({"text": np.array(TEXTS, dtype=object)})

    assert [text.decode() for text in served["translation"]] == together(TEXTS)


def test_impossible_ensembles_are_refused(members: list[Translator]) -> None:
    a, b, _ = models(members)
    other = tiny_translator("char", "char").model
    for given, message in (
        (([],), "`members` must hold at least one Seq2Seq; got none"),
        (([a, a],), "each model once"),
        (([a, other],), "same `target_vocabulary_size`; got 30, 49"),
        (([a, b], "median"), "`mean` must be"),
        (([a, b], "probabilities", [1]), "`weights` must be 2 positive numbers.*got \\[1.0\\]"),
        (([a, b], "probabilities", [1, 0]), "`weights` must be 2 positive numbers"),
        (([a, b], "probabilities", [1, -1]), "`weights` must be 2 positive numbers"),
        (([a, b], "probabilities", [1, float("nan")]), "`weights` must be 2 positive numbers"),
        (([a, b], "probabilities", [1, float("inf")]), "`weights` must be 2 positive numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            Ensemble(*given)
    with pytest.raises(TypeError, match="`members` must be Seq2Seq models; got Translator"):
        Ensemble([members[0]])
