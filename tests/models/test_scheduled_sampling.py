"""Tests of scheduled sampling: the formulas of schedules, the draws, and the effect on `fit`."""

import math

import keras
import numpy as np
import pytest

from keras_s2s import (
    ConstantSchedule,
    ExponentialSchedule,
    InverseSigmoidSchedule,
    LinearSchedule,
)
from keras_s2s.models.scheduled_sampling import Schedule, mixed_tokens
from support.backends import gradients, tensorflow_only
from support.designs import (
    INPUTS,
    LABELS,
    TARGET,
    Attention,
    Monotonic,
    Seq2Seq,
    as_json,
    decoder_of,
    decoder_with,
    encoder_with,
    lstm_cell,
    model_with,
    randomized,
    same,
    state_and_encoded,
)

ops = keras.ops
STEPS = np.array([0, 1, 2, 10, 100, 1000, 1e6])


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (ConstantSchedule(0.3), lambda i: 0.3),
        (LinearSchedule(0.01), lambda i: max(0.0, 1 - 0.01 * i)),
        (LinearSchedule(0.01, start=0.9, minimum=0.2), lambda i: max(0.2, 0.9 - 0.01 * i)),
        (ExponentialSchedule(0.99), lambda i: 0.99**i),
        (InverseSigmoidSchedule(50.0), lambda i: 50 / (50 + math.exp(min(i / 50, 700)))),
        (InverseSigmoidSchedule(1), lambda i: 1 / (1 + math.exp(min(i, 700)))),
    ],
)
def test_schedules_are_their_formulas(schedule, formula):
    for step in STEPS:
        value = float(schedule(ops.cast(step, "float32")))
        # Float32; exponents of up to 1000 lose as many units in the last place.
        assert value == pytest.approx(float(formula(step)), rel=1e-4, abs=1e-7), step
        assert 0 <= value <= 1


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSchedule(0.3),
        LinearSchedule(0.01, 0.9, 0.2),
        ExponentialSchedule(0.99),
        InverseSigmoidSchedule(50.0),
    ],
)
def test_schedules_round_trip_through_json(schedule):
    config = as_json(keras.saving.serialize_keras_object(schedule))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x: ConstantSchedule(x), "probability"),
        (lambda x: LinearSchedule(x), "slope"),
        (lambda x: LinearSchedule(0.1, start=x), "start"),
        (lambda x: LinearSchedule(0.1, minimum=x), "minimum"),
        (lambda x: ExponentialSchedule(x), "base"),
        (lambda x: InverseSigmoidSchedule(x), "k"),
    ],
)
@pytest.mark.parametrize("value", [-0.5, "0.5", None, True, float("nan")])
def test_arguments_out_of_range_are_named(make, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a number from .*; got {name}="):
        make(value)


def test_a_minimum_above_the_start_is_an_error():
    with pytest.raises(ValueError, match=r"`minimum` must be a number from 0 to 0\.5"):
        LinearSchedule(0.1, start=0.5, minimum=0.6)
    with pytest.raises(ValueError, match="`k` must be a number from 1"):
        InverseSigmoidSchedule(0.5)


# What is drawn


def mixed(decoder, probability, target=TARGET, seed=1, **options):
    state, encoded = state_and_encoded(decoder, **options)
    seeds = keras.random.SeedGenerator(seed)
    memory = decoder.memory(encoded)
    return ops.convert_to_numpy(mixed_tokens(decoder, target, state, memory, probability, seeds, 0))


LOOPED = ["Luong", "feeding", "monotonic", "Bahdanau", "feeding monotonic", "GNMT"]


@pytest.mark.parametrize("design", LOOPED)
def test_probability_one_keeps_every_token(design):
    np.testing.assert_array_equal(mixed(decoder_of(design), 1.0), TARGET)


@pytest.mark.parametrize("design", LOOPED)
def test_the_start_token_and_padding_stay(design):
    drawn = mixed(decoder_of(design), 0.0)
    np.testing.assert_array_equal(drawn[:, 0], TARGET[:, 0])
    np.testing.assert_array_equal(drawn[TARGET == 0], 0)
    assert np.any(drawn != TARGET)


@pytest.mark.parametrize("design", ["Luong", "feeding monotonic", "Bahdanau"])
def test_probability_zero_draws_from_the_models_own_distribution(design):
    """3000 rows of one source: counts of the tokens against the exact distribution.

    Of the second column, given the start token, and of the third, given the commonest second.
    """
    decoder = decoder_of(design)
    state, encoded = state_and_encoded(decoder, rows=1)
    state = keras.tree.map_structure(lambda x: np.repeat(x, 3000, axis=0), state)
    many = decoder.memory(type(encoded)(*(np.repeat(x, 3000, axis=0) for x in encoded)))
    target = np.full((3000, 3), 2)
    seeds = keras.random.SeedGenerator(7)
    drawn = ops.convert_to_numpy(mixed_tokens(decoder, target, state, many, 0.0, seeds, 0))
    common = np.bincount(drawn[:, 1]).argmax()
    one = keras.tree.map_structure(lambda x: x[:1], state)
    logits = decoder(np.array([[2, common]]), one, encoded)[0]
    exact = ops.convert_to_numpy(ops.softmax(logits))[0]
    for column, rows in ((1, drawn), (2, drawn[drawn[:, 1] == common])):
        expected = exact[column - 1] * len(rows)
        counts = np.bincount(rows[:, column], minlength=9)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        # 8 degrees of freedom: above 26.1 once in a thousand.
        assert chi_square < 26.1, (counts, expected)


def test_a_share_of_the_tokens_is_kept():
    """In a vocabulary where the model never says the true token, so that none is drawn by luck."""
    decoder = decoder_of("plain")
    decoder.output_layer.bias.assign(np.where(np.arange(9) == 5, -1e4, 0))
    target = np.concatenate([np.full((4, 1), 2), np.full((4, 150), 5)], axis=1)
    kept = (mixed(decoder, 0.3, target)[:, 1:] == 5).mean()
    assert abs(kept - 0.3) < 0.08  # 600 tokens: a standard deviation of 0.019


def test_an_impossible_token_is_never_drawn():
    decoder = decoder_of("plain")
    decoder.output_layer.bias.assign(np.where(np.isin(np.arange(9), (0, 8)), -1e4, 0))
    target = np.full((4, 100), 2)
    assert not np.isin(mixed(decoder, 0.0, target), (0, 8)).any()


def test_dropout_is_off_while_it_draws():
    """The cell's own included. A decoder that always says 4 says it under no dropout only."""
    for options in (
        {"dropout": 0.9, "embedding_dropout": 0.9},
        {"cell": lstm_cell(dropout=0.9, recurrent_dropout=0.9), "units": None},
    ):
        plain = decoder_of("plain", **{**options, "dropout": 0.0, "embedding_dropout": 0.0})
        decoder = decoder_of("plain", **options)
        decoder.set_weights(plain.get_weights())
        np.testing.assert_array_equal(mixed(decoder, 0.0), mixed(plain, 0.0))


def test_no_gradient_flows_through_the_choice():
    decoder = decoder_of()
    state, encoded = state_and_encoded(decoder)
    seeds = keras.random.SeedGenerator(1)

    def loss(values):
        memory = decoder.memory(encoded._replace(values=values))
        tokens = mixed_tokens(decoder, TARGET, state, memory, 0.5, seeds, 0)
        return ops.sum(ops.cast(tokens, "float32")) + 0 * ops.sum(values)

    _, (by_values,), by_weights = gradients(loss, [encoded.values], decoder.trainable_weights)
    assert not any(np.any(gradient) for gradient in (by_values, *by_weights))


# In fit


@keras.saving.register_keras_serializable(package="tests")
class Recording(Schedule):
    """Keeps the steps it is asked for, also out of a compiled `fit`."""

    steps: list[float] = []  # noqa: RUF012

    def __call__(self, step):
        import tensorflow as tf

        tf.py_function(lambda x: self.steps.append(float(x)), [step], [])
        return ops.exp(-step)

    def get_config(self):
        return {}


@pytest.mark.quick_cases(1)
@tensorflow_only
@pytest.mark.parametrize(("policy", "eagerly"), [("float32", True), ("mixed_float16", False)])
def test_fit_asks_for_the_probability_at_the_optimizers_step(policy, eagerly):
    """Compiled where the optimizer is wrapped, to scale the loss of half precision."""
    keras.config.set_dtype_policy(policy)
    model = model_with(teacher_forcing=Recording())
    model.compile(run_eagerly=eagerly)
    Recording.steps.clear()
    model.fit(INPUTS, LABELS, batch_size=2, epochs=2, verbose=0)
    assert Recording.steps == [0, 1, 2, 3]
    model.evaluate(INPUTS, LABELS, verbose=0)
    assert len(Recording.steps) == 4, "evaluation is teacher forced"


def test_probability_one_gives_the_teacher_forced_logits_exactly():
    plain = model_with()
    model = model_with(teacher_forcing=ConstantSchedule(1.0))
    for one in (plain, model):
        one.build()
        randomized(one)
    model.compile()
    same(model(INPUTS, training=True), plain(INPUTS, training=True), 0)
    never = model_with(teacher_forcing=ConstantSchedule(0.0))
    never.build()
    randomized(never)
    never.compile()
    assert np.any(np.array(never(INPUTS, training=True)) != np.array(plain(INPUTS)))
    same(never(INPUTS), plain(INPUTS), 0)
    same(never.predict(INPUTS, verbose=0), plain(INPUTS), 1e-6)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "options",
    [
        {
            "input_feeding": True,
            "attention": Attention("general", Monotonic(noise=1.0)),
            "dropout": 0.2,
        },
        {"cell": lstm_cell(dropout=0.2), "units": None},
    ],
    ids=["what loops and is noisy", "cell with dropout"],
)
def test_fit_compiled_works_with(options):
    model = Seq2Seq(
        encoder_with(bidirectional=False),
        decoder_with(**options),
        teacher_forcing=LinearSchedule(0.2),
    )
    model.compile(keras.optimizers.Adam(0.02))
    losses = model.fit(INPUTS, LABELS, epochs=8, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_it_is_saved_and_loaded_with_the_model(tmp_path):
    model = model_with(teacher_forcing=InverseSigmoidSchedule(3.0))
    model.compile(run_eagerly=True)
    model.fit(INPUTS, LABELS, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.teacher_forcing) is InverseSigmoidSchedule
    assert loaded.teacher_forcing.k == 3
    same(loaded(INPUTS), model(INPUTS), 0)


def test_training_before_compile_is_an_error_that_says_so():
    model = model_with(teacher_forcing=ConstantSchedule(0.5))
    with pytest.raises(ValueError, match=r"no optimizer: compile it before training"):
        model(INPUTS, training=True)
    assert model(INPUTS).shape == (4, 4, 9)


def test_something_that_is_no_schedule_is_an_error():
    with pytest.raises(TypeError, match="`teacher_forcing` must be a Schedule; got float"):
        model_with(teacher_forcing=0.5)
