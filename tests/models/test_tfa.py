"""The outputs on random weights equal those of TensorFlow Addons 0.23, read from fixtures.

`tests/fixtures/make_tfa_fixtures.py` wrote the fixtures, in float32 and in an environment of its
own. The first half of the tests shows that the NumPy oracle computes what tfa computes; the second
half shows the same of our layers.

Two float32 programs that sum in different orders differ by some 1e-7 per operation. The numbers
here are below 20 and pass through some tens of operations, so the tolerance is 1e-5, relative and
absolute.
"""

from typing import Any

import numpy as np
import pytest

from keras_s2s import (
    Attention,
    ConcatScore,
    Decoder,
    GreedySearch,
    Monotonic,
    NormalizedConcatScore,
    TokenCrossEntropy,
)
from oracles import tfa_reference
from support.tfa_cases import (
    BEAMS,
    CLOSE,
    DECODERS,
    FIXTURES,
    below,
    encoded,
    fixture,
    initial_cells,
    our_decoder,
)


def in_float64(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: x.astype("float64") if x.dtype == "float32" else x for k, x in arrays.items()}


# Case → what its weights do not say.
PROBABILITIES = {name: name.rpartition("_")[2] for name in fixture("tfa_attention")} | {
    name: "softmax" for name in ("luong", "luong_scale", "bahdanau", "bahdanau_normalize")
}
PROBABILITIES_OF_DECODERS = {
    "stacked_lstm_luong_monotonic": "parallel",
    "gru_bahdanau_monotonic": "recursive",
}


def row_cells(arrays: dict[str, np.ndarray], b: int) -> tuple[tuple[np.ndarray, ...], ...]:
    return tuple(tuple(part[b] for part in layer) for layer in initial_cells(arrays))


def oracle(arrays: dict[str, np.ndarray], case: str = "") -> tfa_reference.Wrapper:
    probability = PROBABILITIES_OF_DECODERS.get(case, "softmax")
    activation = str(arrays.get("attention_layer.0.activation", "linear"))
    numbers = sorted({key.split(".")[0] for key in below(arrays, "mechanism.")})
    return tfa_reference.Wrapper(
        weights=arrays,
        mechanisms=tuple(
            tfa_reference.Mechanism(below(arrays, f"mechanism.{i}."), probability) for i in numbers
        ),
        activation={"linear": None, "tanh": np.tanh}[activation],
        output_attention=bool(arrays["output_attention"]),
    )


def test_every_fixture_is_used_here() -> None:
    assert set(fixture("tfa_attention")) == set(PROBABILITIES)
    assert set(fixture("tfa_wrapper")) == set(DECODERS)
    assert len(fixture("tfa_beam")) == len(BEAMS) + 1  # and the model


def test_fixtures_are_small_and_in_single_precision() -> None:
    files = list(FIXTURES.glob("tfa_*.npz"))
    assert sum(path.stat().st_size for path in files) < 200_000
    for path in files:
        with np.load(path) as arrays:
            assert not [name for name in arrays.files if arrays[name].dtype.itemsize == 8]


# The NumPy oracle against tfa


@pytest.mark.parametrize("case", PROBABILITIES)
def test_oracle_aligns_as_tfa(case: str) -> None:
    arrays = in_float64(fixture("tfa_attention")[case])
    mechanism = tfa_reference.Mechanism(arrays, PROBABILITIES[case])
    found = tfa_reference.alignments(
        mechanism, arrays["query"], arrays["memory"], arrays["lengths"]
    )
    np.testing.assert_allclose(found, arrays["alignments"], **CLOSE)


@pytest.mark.parametrize("case", DECODERS)
def test_oracle_decodes_as_tfa(case: str) -> None:
    arrays = in_float64(fixture("tfa_wrapper")[case])
    wrapper = oracle(arrays, case)
    for b, (memory, length) in enumerate(zip(arrays["memory"], arrays["lengths"], strict=True)):
        values = memory * (np.arange(len(memory)) < length)[:, None]
        state = wrapper.initial(row_cells(arrays, b), *memory.shape)
        for t, token in enumerate(arrays["target_ids"][b]):
            logits, state = wrapper.step(token, state, values, length)
            np.testing.assert_allclose(logits, arrays["logits"][b, t], **CLOSE)
            for i, aligned in enumerate(state.alignments):
                np.testing.assert_allclose(aligned, arrays[f"alignments.{i}"][b, t], **CLOSE)
        np.testing.assert_allclose(state.attention, arrays["final_attention"][b], **CLOSE)
        for found, wanted in zip(state.cells, initial_cells(arrays, "final"), strict=True):
            for x, y in zip(found, wanted, strict=True):
                np.testing.assert_allclose(x, y[b], **CLOSE)


@pytest.mark.parametrize(("width", "length_weight", "coverage_weight"), BEAMS)
def test_oracle_searches_as_tfa(width: int, length_weight: float, coverage_weight: float) -> None:
    model = in_float64(fixture("tfa_beam")["model"])
    wanted = fixture("tfa_beam")[f"width{width}_length{length_weight}_coverage{coverage_weight}"]
    found = tfa_reference.beam_search(
        oracle(model),
        model["memory"],
        model["lengths"],
        [row_cells(model, b) for b in range(len(model["memory"]))],
        start=int(model["start_token"]),
        end=int(model["end_token"]),
        width=width,
        length_weight=length_weight,
        coverage_weight=coverage_weight,
        most_steps=wanted["step_ids"].shape[1],
    )
    for name in ("step_ids", "step_parents", "lengths", "predicted_ids"):
        np.testing.assert_array_equal(getattr(found, name), wanted[name], err_msg=name)
    for name in ("step_scores", "log_probs"):
        np.testing.assert_allclose(getattr(found, name), wanted[name], **CLOSE, err_msg=name)


@pytest.mark.parametrize("weights", ["ragged", "fractional"])
def test_oracle_loss_is_that_of_tfa(weights: str) -> None:
    cases = fixture("tfa_loss")
    logits, targets = cases[""]["logits"].astype("float64"), cases[""]["targets"]
    wanted = in_float64(cases[weights])
    w = wanted["weights"]
    errors = tfa_reference.cross_entropies(logits, targets) * w
    counted = (w != 0).astype("float64")

    def mean(total: np.ndarray, divisor: np.ndarray) -> np.ndarray:
        # tfa leaves a row or step without weight at zero.
        return np.divide(total, divisor, out=np.zeros_like(total), where=divisor != 0)

    found = {
        "default": errors.sum() / w.sum(),
        "per_row": mean(errors.sum(1), w.sum(1)),
        "per_step": mean(errors.sum(0), w.sum(0)),
        "none": errors,
        "sum_over_timesteps": mean(errors.sum(1), counted.sum(1)),
        "sequence_loss_class": errors.sum() / counted.sum(),
    }
    assert set(found) == set(wanted) - {"weights"}
    for name, value in found.items():
        np.testing.assert_allclose(value, wanted[name], **CLOSE, err_msg=name)


# Ours against tfa

SCORES = {
    "luong": "general",
    "luong_scale": "scaled_general",
    "bahdanau": "concat",
    "bahdanau_normalize": "normalized_concat",
}


def our_attention(arrays: dict[str, np.ndarray], probability: str) -> Attention:
    """The mechanism that these weights are of, with tfa's weights in ours."""
    kind = "bahdanau" if "query_layer.kernel" in arrays else "luong"
    kind += {"luong": "_scale", "bahdanau": "_normalize"}[kind] * ("attention_g" in arrays)
    score = SCORES[kind]
    if "query_layer.kernel" in arrays:
        classes = {"concat": ConcatScore, "normalized_concat": NormalizedConcatScore}
        score = classes[score](units=len(arrays["attention_v"]))
    if probability in tfa_reference.MODES:
        probability = Monotonic(mode=probability)
    attention = Attention(score, probability)
    attention.build(arrays["query"].shape, arrays["memory"].shape)
    if "query_layer.kernel" in arrays:
        attention.score.query_kernel.assign(arrays["query_layer.kernel"])
        attention.score.values_kernel.assign(arrays["memory_layer.kernel"])
        attention.score.vector.assign(arrays["attention_v"][:, None])
    else:
        attention.score.kernel.assign(arrays["memory_layer.kernel"])
    if "attention_g" in arrays:
        attention.score.gain.assign(arrays["attention_g"])
    if "attention_b" in arrays:
        attention.score.bias.assign(arrays["attention_b"])
    if "attention_score_bias" in arrays:
        attention.probability.offset.assign(arrays["attention_score_bias"])
    return attention


@pytest.mark.parametrize("case", PROBABILITIES)
def test_attention_aligns_as_tfa(case: str) -> None:
    arrays = fixture("tfa_attention")[case]
    attention = our_attention(arrays, PROBABILITIES[case])
    context, weights = attention(arrays["query"], encoded(arrays))
    np.testing.assert_allclose(weights, arrays["alignments"], **CLOSE)
    np.testing.assert_allclose(context, arrays["alignments"] @ arrays["memory"], **CLOSE)


@pytest.mark.parametrize("case", PROBABILITIES)
def test_attention_stepped_aligns_as_tfa(case: str) -> None:
    arrays = fixture("tfa_attention")[case]
    attention = our_attention(arrays, PROBABILITIES[case])
    memory = attention.memory(encoded(arrays))
    state = attention.initial_state(memory)
    for t in range(arrays["query"].shape[1]):
        _, weights, state = attention.step(arrays["query"][:, t], memory, state)
        np.testing.assert_allclose(weights, arrays["alignments"][:, t], **CLOSE)


def mean_alignments(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.mean(list(below(arrays, "alignments.").values()), axis=0)


def check_final_state(decoder: Decoder, state: Any, arrays: dict[str, np.ndarray]) -> None:
    for found, wanted in zip(state[: decoder.depth], initial_cells(arrays, "final"), strict=True):
        for x, y in zip(found, wanted, strict=True):
            np.testing.assert_allclose(x, y, **CLOSE)
    (fed,), _ = state[-1]
    np.testing.assert_allclose(fed, arrays["final_attention"], **CLOSE)


@pytest.mark.parametrize("case", DECODERS)
def test_loaded_decoder_gives_what_tfa_gave(case: str) -> None:
    arrays = fixture("tfa_wrapper")[case]
    decoder = our_decoder(case, arrays)
    logits, state, weights = decoder(arrays["target_ids"], initial_cells(arrays), encoded(arrays))
    np.testing.assert_allclose(logits, arrays["logits"], **CLOSE)
    np.testing.assert_allclose(weights, mean_alignments(arrays), **CLOSE)
    check_final_state(decoder, state, arrays)


@pytest.mark.parametrize("case", DECODERS)
def test_loaded_decoder_stepped_gives_what_tfa_gave(case: str) -> None:
    arrays = fixture("tfa_wrapper")[case]
    decoder = our_decoder(case, arrays)
    memory = decoder.memory(encoded(arrays))
    state = decoder.initial_state(initial_cells(arrays), memory)
    for t in range(arrays["target_ids"].shape[1]):
        logits, state, weights = decoder.step(arrays["target_ids"][:, t], state, memory)
        np.testing.assert_allclose(logits, arrays["logits"][:, t], **CLOSE)
        np.testing.assert_allclose(weights, mean_alignments(arrays)[:, t], **CLOSE)
    check_final_state(decoder, state, arrays)


def test_greedy_search_finds_what_a_beam_of_one_found() -> None:
    arrays = fixture("tfa_beam")["model"]
    wanted = fixture("tfa_beam")["width1_length0.0_coverage0.0"]
    decoder = our_decoder("lstm_luong", arrays)
    memory = decoder.memory(encoded(arrays))
    end = int(arrays["end_token"])
    found = GreedySearch(max_length=wanted["predicted_ids"].shape[1])(
        lambda tokens, state: decoder.step(tokens, state, memory),
        decoder.initial_state(initial_cells(arrays), memory),
        batch_size=len(arrays["memory"]),
        start_id=int(arrays["start_token"]),
        end_id=end,
        pad_id=end,  # tfa goes on with the end token
    )
    np.testing.assert_array_equal(found.ids[:, 0], wanted["predicted_ids"][:, :, 0])
    np.testing.assert_array_equal(found.lengths, wanted["lengths"])
    np.testing.assert_allclose(found.log_probs, wanted["log_probs"], **CLOSE)


@pytest.mark.parametrize(
    ("weights", "theirs"),
    [
        ("ragged", "default"),
        ("fractional", "default"),
        # tfa's class divides by the number of weights that are not zero: the same for zeros and
        # ones, and something of its own for other weights.
        ("ragged", "sequence_loss_class"),
    ],
)
def test_token_cross_entropy_is_the_sequence_loss_of_tfa(weights: str, theirs: str) -> None:
    cases = fixture("tfa_loss")
    loss = TokenCrossEntropy(pad_id=-1)  # every id is a token there; the weights say what counts
    found = loss(cases[""]["targets"], cases[""]["logits"], cases[weights]["weights"])
    np.testing.assert_allclose(found, cases[weights][theirs], **CLOSE)
