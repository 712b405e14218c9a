"""The code of the guide from TensorFlow Addons runs, its table is whole, and the loader checks."""

import ast
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_s2s
from keras_s2s import Attention, Decoder, LocalMonotonicWindow, load_tfa_decoder
from support.tfa_cases import CLOSE, WEIGHTS, encoded, fixture, initial_cells

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "migrating_from_tfa.md").read_text(encoding="utf-8")
SCRIPT = (ROOT / "tests" / "fixtures" / "make_tfa_fixtures.py").read_text(encoding="utf-8")
TFA_NAMES = re.findall(
    r"\w+",
    """
    AttentionMechanism LuongAttention BahdanauAttention LuongMonotonicAttention
    BahdanauMonotonicAttention AttentionWrapper AttentionWrapperState hardmax monotonic_attention
    safe_cumprod BaseDecoder Decoder dynamic_decode BasicDecoder BasicDecoderOutput
    BeamSearchDecoder BeamSearchDecoderOutput BeamSearchDecoderState FinalBeamSearchDecoderOutput
    gather_tree gather_tree_from_array tile_batch Sampler CustomSampler TrainingSampler
    ScheduledEmbeddingTrainingSampler ScheduledOutputTrainingSampler GreedyEmbeddingSampler
    SampleEmbeddingSampler InferenceSampler SequenceLoss sequence_loss
""",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


# The guide


def test_guide_maps_every_public_name_of_tfa() -> None:
    table = GUIDE.split("## Every name")[1].split("\n\nWhat an")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == sorted(TFA_NAMES)


def test_guide_names_only_what_there_is() -> None:
    after = [ast.parse(code) for code in blocks("python")]
    used = {
        node.attr
        for tree in after
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "s2s"
    }
    table = GUIDE.split("## Every name")[1].split("\n\nWhat an")[0]
    right = re.findall(r"^\| `\w+` \| (.*) \|$", table, flags=re.MULTILINE)
    classes = {name for cell in right for name in re.findall(r"`([A-Z]\w+)", cell)}
    assert used | classes <= set(keras_s2s.__all__)


@pytest.mark.parametrize("code", blocks("python tfa"))
def test_code_before_is_python(code: str) -> None:
    ast.parse(code)


def test_guide_shows_the_functions_that_wrote_the_fixtures() -> None:
    def functions(code: str) -> dict[str, str]:
        nodes = ast.parse(code).body
        return {node.name: ast.dump(node) for node in nodes if isinstance(node, ast.FunctionDef)}

    (code,) = (code for code in blocks("python tfa") if "decoder.npz" in code)
    shown, used = functions(code), functions(SCRIPT)
    assert set(shown) == {"mechanism_variables", "decoder_variables", "decoder_settings"}
    for name, function in shown.items():
        assert function == used[name], name


@pytest.fixture
def trained_encoder() -> keras.Sequential:
    """What the guide's user trained: an embedding and a bidirectional LSTM."""
    lstm = keras.layers.LSTM(6, return_sequences=True, bias_initializer="random_normal")
    model = keras.Sequential([keras.layers.Embedding(9, 4), keras.layers.Bidirectional(lstm)])
    model.build((None, None))
    return model


@pytest.mark.thorough
def test_code_after_runs_and_gives_what_the_guide_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained_encoder: keras.Sequential
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = fixture("tfa_wrapper")["lstm_luong"]
    np.savez("decoder.npz", **weights_of(arrays))
    np.savez("encoder.npz", *trained_encoder.get_weights())
    names: dict[str, Any] = {}
    for i, code in enumerate(blocks("python")):
        exec(compile(code, f"block {i} of the guide", "exec"), names)

    np.testing.assert_allclose(names["loss"], names["same"], **CLOSE)
    # The weights last loaded are those of tfa and of the trained encoder.
    logits, _, _ = names["decoder"](arrays["target_ids"], initial_cells(arrays), encoded(arrays))
    np.testing.assert_allclose(logits, arrays["logits"], **CLOSE)
    source_ids = np.array([[4, 8, 5], [6, 7, 3]])
    found, _ = names["encoder"](source_ids)
    np.testing.assert_allclose(found.values, trained_encoder(source_ids), **CLOSE)


# The loader


def weights_of(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: x for name, x in arrays.items() if name.startswith(WEIGHTS)}


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    return weights_of(fixture("tfa_wrapper")["lstm_luong"])


def make_decoder(**options: Any) -> Decoder:
    """What fits `weights`, but for the options."""
    fitting = {
        "vocabulary_size": 8,
        "embedding_size": 3,
        "units": 6,
        "attention_size": 5,
        "attention_activation": "linear",
        "input_feeding": True,
    }
    return Decoder(**{**fitting, **options})


MISSING = object()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        (
            "cell.0.bias",
            MISSING,
            r"'cell.0.bias' is missing; expected an array of shape \(24,\). Where tfa's layer has "
            "none, give zeros.",
        ),
        ("embedding", MISSING, r"'embedding' is missing; expected an array of shape \(8, 3\)."),
        (
            "cell.0.kernel",
            np.zeros((9, 24), "float32"),
            r"'cell.0.kernel' must have the shape \(8, 24\); got \(9, 24\).",
        ),
        (
            "attention_layer.0.kernel",
            np.zeros((10, 4), "float32"),
            r"'attention_layer.0.kernel' must have the shape \(10, 5\); got \(10, 4\).",
        ),
        (
            "embedding",
            np.zeros((8, 3), "int32"),
            "'embedding' must hold floats; got int32.",
        ),
        (
            "mechanism.0.attention_g",
            np.float32(2),
            r"'mechanism.0.attention_g' of shape \(\) has no place in this decoder.",
        ),
        (
            "attention_layer.0.activation",
            "tanh",
            "'attention_layer.0.activation' is 'tanh'; this decoder computes as with 'linear'.",
        ),
        (
            "output_attention",
            False,
            "'output_attention' is False; this decoder computes as with True.",
        ),
        ("output_attention", MISSING, "'output_attention' is missing; expected True."),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_assigned(
    weights: dict[str, Any], name: str, value: Any, complaint: str
) -> None:
    decoder = make_decoder()
    decoder.build((None, None), [[(None, 6), (None, 6)]], (None, None, 4))
    before = decoder.get_weights()
    weights[name] = value
    if value is MISSING:
        del weights[name]
    with pytest.raises(ValueError, match=complaint):
        load_tfa_decoder(decoder, weights)
    for x, y in zip(before, decoder.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_every_difference_is_listed(weights: dict[str, np.ndarray]) -> None:
    del weights["embedding"], weights["cell.0.bias"]
    with pytest.raises(ValueError, match=r"(?s)'embedding' is missing.*'cell.0.bias' is missing"):
        load_tfa_decoder(make_decoder(), weights)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"input_feeding": False}, "`input_feeding` must be True; got False."),
        ({"attend_with": "previous", "input_feeding": False}, "`attend_with` must be 'current'"),
        ({"depth": 2, "attention_in": "first"}, "`attention_in` must be 'last'; got 'first'."),
        ({"residual": True, "depth": 2}, "`residual` must be False; got True."),
        ({"layer_norm": True}, "`layer_norm` must be False; got True."),
        (
            {"tied_embedding": True, "attention_size": 3},
            "`tied_embedding` must be False; got True.",
        ),
        (
            {
                "attention_vector": "concatenation",
                "attention_size": None,
                "attention_activation": None,
            },
            "`attention_vector` must be 'layer' or 'context'",
        ),
        ({"cell": "layer_norm_lstm"}, "Layer 0 must be 'lstm' or 'gru'; got LayerNormLSTM."),
        ({"attention": "dot"}, "Mechanism 0 must be an Attention with one of GeneralScore, .*Dot"),
        (
            {"attention": Attention("general", "sparsemax")},
            "Mechanism 0 must have the probability .*; got Sparsemax.",
        ),
        (
            {"attention": Attention("general", window=LocalMonotonicWindow(2))},
            "Mechanism 0 must have no window; got LocalMonotonicWindow.",
        ),
    ],
)
def test_decoder_that_tfa_does_not_have_is_refused(
    weights: dict[str, np.ndarray], options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_tfa_decoder(make_decoder(**options), weights)


def test_decoder_without_attention_is_refused(weights: dict[str, np.ndarray]) -> None:
    decoder = Decoder(vocabulary_size=8, embedding_size=3, units=6, attention=None)
    with pytest.raises(ValueError, match=r"`attention` must be a mechanism; got None\."):
        load_tfa_decoder(decoder, weights)


def test_what_is_no_decoder_is_refused(weights: dict[str, np.ndarray]) -> None:
    with pytest.raises(TypeError, match=r"`decoder` must be a Decoder; got Dense\."):
        load_tfa_decoder(keras.layers.Dense(2), weights)


def test_unbuilt_decoder_needs_the_memory_width(weights: dict[str, np.ndarray]) -> None:
    weights["mechanism.0.memory_layer.kernel"] = np.zeros(4, "float32")
    with pytest.raises(ValueError, match=r"got an array of shape \(4,\)"):
        load_tfa_decoder(make_decoder(), weights)


def test_attention_layers_of_two_mechanisms_must_fill_ours() -> None:
    weights = weights_of(fixture("tfa_wrapper")["lstm_two_mechanisms"])
    scores = ["general", keras_s2s.NormalizedConcatScore(7)]
    # The other shapes fit: what reads the attention is given two more rows.
    for name, axis in (("cell.0.kernel", 0), ("output_layer.kernel", 0)):
        weights[name] = np.pad(weights[name], [(0, 2) if i == axis else (0, 0) for i in (0, 1)])
    with pytest.raises(ValueError, match=r"must together have 11 columns; got 9\."):
        load_tfa_decoder(make_decoder(attention=scores, attention_size=11), weights)


def test_old_gru_without_reset_after_is_refused() -> None:
    weights = weights_of(fixture("tfa_wrapper")["gru_bahdanau"])
    weights["cell.0.bias"] = weights["cell.0.bias"].sum(0)
    decoder = make_decoder(cell="gru", attention=keras_s2s.ConcatScore(7))
    with pytest.raises(ValueError, match=r"'cell.0.bias' must have the shape \(2, 18\)"):
        load_tfa_decoder(decoder, weights)
