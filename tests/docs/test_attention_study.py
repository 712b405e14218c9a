"""Tests of the arithmetic behind docs/attention.md, from state gradients to exact match."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_s2s import Decoder, Encoded, Encoder, Seq2Seq

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from study import alignments, bottleneck, files, gradients, models, tasks  # noqa: E402

SIZES = models.Sizes(symbols=5, embedding=3, units=4)
LENGTH = 5


def made(name="general", cell="lstm", dtype="float64"):
    return models.make_model(models.VARIANTS[name], SIZES, seed=3, cell=cell, dtype=dtype)


def some_pairs(count=3):
    return tasks.pairs("copy", count, LENGTH, SIZES.symbols, np.random.default_rng(5))


def losses(model, pairs, values, state):
    encoded = Encoded(values, np.ones(pairs.source.shape, bool))
    logits, _, _ = model.decoder(pairs.target[:, :-1], model.bridge((state,)), encoded)
    entropy = ops.sparse_categorical_crossentropy(pairs.labels, logits, from_logits=True)
    return np.asarray(ops.mean(entropy, axis=1))


def losses_with_state_changed(model, pairs, position, part, change):
    """The encoder's own recurrence, stopped after a position, its state changed, and resumed."""
    recurrent = gradients.recurrent_layer(model.encoder)
    embedded = model.encoder.embedding(pairs.source)
    before, state = recurrent(embedded[:, : position + 1])
    state = [np.array(x) for x in state]
    state[part] += change
    values = [before[:, :position], state[0][:, None]]
    if position + 1 < LENGTH:
        after, state = recurrent(embedded[:, position + 1 :], initial_state=tuple(state))
        values.append(after)
    return losses(model, pairs, np.concatenate(values, axis=1), tuple(state))


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("name", ["none", "general", "concat"])
def test_state_gradients_agree_with_finite_differences(name, cell):
    model, pairs = made(name, cell), some_pairs()
    found = gradients.state_gradients(model, pairs.source, pairs.target)
    generator, step = np.random.default_rng(1), 1e-5
    for part, by_state in enumerate(found.state):
        for position in range(LENGTH):
            direction = generator.normal(size=SIZES.units)
            up, down = (
                losses_with_state_changed(model, pairs, position, part, sign * step * direction)
                for sign in (1, -1)
            )
            expected = (up - down) / (2 * step)
            # The error of a central difference is of the order of step² = 1e-10.
            np.testing.assert_allclose(
                np.asarray(by_state)[:, position] @ direction, expected, rtol=0, atol=1e-8
            )
    np.testing.assert_allclose(
        found.loss, losses_with_state_changed(model, pairs, 0, 0, 0.0), rtol=0, atol=1e-12
    )


def test_memory_gradients_agree_with_finite_differences():
    model, pairs = made(), some_pairs()
    found = gradients.state_gradients(model, pairs.source, pairs.target)
    encoded, (state,) = model.encoder(pairs.source)
    direction, step = np.random.default_rng(1).normal(size=SIZES.units), 1e-5
    for position in range(LENGTH):
        change = np.zeros((LENGTH, SIZES.units))
        change[position] = step * direction
        up = losses(model, pairs, encoded.values + change, state)
        down = losses(model, pairs, encoded.values - change, state)
        np.testing.assert_allclose(
            np.asarray(found.memory)[:, position] @ direction,
            (up - down) / (2 * step),
            rtol=0,
            atol=1e-8,
        )


def test_without_attention_nothing_comes_from_the_memory():
    pairs = some_pairs()
    without = gradients.state_gradients(made("none"), pairs.source, pairs.target)
    with_attention = gradients.state_gradients(made("general"), pairs.source, pairs.target)
    assert not np.any(without.memory)
    assert np.all(np.any(with_attention.memory, axis=-1))


def test_a_sequence_s_gradients_do_not_depend_on_the_others():
    model, pairs = made(), some_pairs()
    together = gradients.state_gradients(model, pairs.source, pairs.target)
    alone = gradients.state_gradients(model, pairs.source[1:2], pairs.target[1:2])
    for a, b in zip(keras.tree.flatten(together), keras.tree.flatten(alone), strict=True):
        np.testing.assert_allclose(np.asarray(a)[1:2], b, rtol=0, atol=1e-14)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_unrolled_encoder_equals_the_encoder(cell):
    encoder, source = made(cell=cell).encoder, some_pairs().source
    assert gradients.recomputation_difference(encoder, source) < 1e-14


def test_a_recomputation_that_differs_is_seen(monkeypatch):
    encoder, source = made().encoder, some_pairs().source
    original = gradients.unrolled

    def off(*arguments):
        values, (h, c) = original(*arguments)
        return values, (h, c + 0.25)

    monkeypatch.setattr(gradients, "unrolled", off)
    assert float(gradients.recomputation_difference(encoder, source)) == pytest.approx(0.25)


def test_encoders_whose_state_is_another_are_refused():
    encoder = Encoder(vocabulary_size=9, embedding_size=3, units=4)
    decoder = Decoder(vocabulary_size=9, embedding_size=3, units=8)
    pairs = some_pairs()
    with pytest.raises(ValueError, match="one forward layer; got bidirectional=True, depth=1"):
        gradients.state_gradients(Seq2Seq(encoder, decoder), pairs.source, pairs.target)


def test_norms_are_of_all_tensors_together_then_averaged_over_sequences():
    h = np.zeros((2, 3, 2))
    c = np.zeros((2, 3, 1))
    h[0, 1, 0], c[0, 1, 0] = 3.0, 4.0  # norm 5 in the one sequence, 0 in the other
    assert gradients.mean_norm((h, c)) == [0.0, 2.5, 0.0]


def test_anti_diagonal_of_perfect_weights_is_one():
    assert alignments.anti_diagonal(np.eye(4)[None, ::-1]) == (1.0, 1.0, 1.0)


def test_anti_diagonal_of_uniform_weights_is_chance():
    found = alignments.anti_diagonal(np.full((2, 4, 4), 0.25))
    assert found.mass == 0.25
    assert found.mass_beside == 0.25 * (2 + 3 + 3 + 2) / 4  # one neighbour at the ends, else two


def test_anti_diagonal_of_a_diagonal_counts_only_where_they_cross():
    assert alignments.anti_diagonal(np.eye(4)[None]) == (0.0, 0.0, 0.5)
    assert alignments.anti_diagonal(np.eye(3)[None])[:2] == (1 / 3, 1 / 3)


def test_anti_diagonal_tells_mass_from_largest():
    # Two target tokens: 0.6 and 0.3 lie on the anti-diagonal, and only the first is the largest.
    found = alignments.anti_diagonal([[[0.4, 0.6], [0.3, 0.7]]])
    assert found.mass == pytest.approx(0.45)
    assert found.largest == 0.5


def test_anti_diagonal_leaves_the_end_token_out():
    weights = np.concatenate([np.eye(3)[::-1], [[1.0, 0.0, 0.0]]])[None]
    assert alignments.anti_diagonal(weights) == (1.0, 1.0, 1.0)


def test_anti_diagonal_needs_a_row_per_source_token():
    with pytest.raises(ValueError, match=r"T ≥ S; got the shape \(1, 2, 3\)"):
        alignments.anti_diagonal(np.zeros((1, 2, 3)))


def test_alignment_is_what_the_decoder_attends_to():
    pairs = some_pairs()
    weights = alignments.alignment(made(), pairs)
    assert weights.shape == (3, LENGTH + 1, LENGTH)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_targets_are_the_source_in_its_order(task):
    source, target = tasks.pairs(task, 7, 4, 5, np.random.default_rng(1))
    expected = source if task == "copy" else source[:, ::-1]
    np.testing.assert_array_equal(target[:, 1:-1], expected)
    assert (target[:, 0] == tasks.START).all()
    assert (target[:, -1] == tasks.END).all()
    assert source.min() >= tasks.FIRST
    assert source.max() < tasks.FIRST + 5


def test_unknown_tasks_are_refused():
    with pytest.raises(ValueError, match="must be one of 'copy', 'reverse'; got task='sort'"):
        tasks.pairs("sort", 1, 1, 5, np.random.default_rng(1))


def test_training_has_every_length_and_the_same_sequences_for_the_same_seed():
    first, again, other = (list(tasks.batches("copy", 60, 2, 6, 5, seed)) for seed in (1, 1, 2))
    assert {batch.source.shape[1] for batch in first} == set(range(1, 7))
    assert all(np.array_equal(a.source, b.source) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a.source, b.source) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("decoded", "share"),
    [
        ([[5, 6, 3, 0, 0], [7, 8, 3, 0, 0]], 1.0),
        ([[5, 6, 3, 0, 0], [7, 7, 3, 0, 0]], 0.5),  # a wrong symbol
        ([[5, 3, 0, 0, 0], [7, 8, 8, 3, 0]], 0.0),  # too early, too late
    ],
)
def test_exact_match_is_all_tokens_and_the_end(decoded, share):
    exact = models.ExactMatch(made(dtype="float32"), longest=2)
    exact.decode = lambda source: tf.constant(decoded)
    source = np.array([[5, 6], [7, 8]])
    target = np.array([[2, 5, 6, 3], [2, 7, 8, 3]])
    assert exact(tasks.Pairs(source, target)) == share


def test_exact_match_decodes_by_itself():
    pairs = some_pairs()
    exact = models.ExactMatch(made(dtype="float32"), longest=LENGTH)
    assert exact.decode(pairs.source).shape == (3, LENGTH + 3)
    assert 0 <= exact(pairs) <= 1


def test_variants_differ_in_nothing_but_what_they_say():
    weights = {name: made(name).count_params() for name in models.VARIANTS}
    assert weights["none"] == weights["none, source reversed"]
    units = SIZES.units
    assert weights["dot"] - weights["none"] == 2 * units * units  # the attention layer
    assert weights["general"] - weights["dot"] == units * units
    assert weights["concat"] - weights["dot"] == 2 * units * units + units


def test_json_keeps_names_and_six_digits(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("an older one")
    value = {"sizes": SIZES, "norms": [1 / 3, 1e-21], "runs": [{"seed": 1}]}
    files.write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "sizes": {"symbols": 5, "embedding": 3, "units": 4},
        "norms": [0.333333, 1e-21],
        "runs": [{"seed": 1}],
    }
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("gradient_shortcut", gradients),
        ("bottleneck", bottleneck),
        ("reverse_alignment", alignments),
    ],
)
def test_committed_figures_were_measured_with_the_settings_of_today(name, part):
    report = json.loads((ROOT / "docs" / "attention.json").read_text(encoding="utf-8"))
    assert not report["quick"]
    assert report[name]["settings"] == files.plain(part.Settings())


@pytest.mark.slow
def test_quick_study_writes_its_files_and_nothing_else(tmp_path):
    command = [sys.executable, "docs/attention_study.py", "--quick", "--output", str(tmp_path)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    pictures = {"gradient-shortcut.png", "bottleneck.png", "reverse-alignment.png"}
    assert {file.name for file in tmp_path.iterdir()} == {*pictures, "attention.json"}
    assert json.loads((tmp_path / "attention.json").read_text(encoding="utf-8"))["quick"]


def test_an_output_folder_that_is_not_there_is_refused(tmp_path):
    command = [sys.executable, "docs/attention_study.py", "--output", str(tmp_path / "none")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 2
    assert "--output must be an existing folder" in run.stderr
