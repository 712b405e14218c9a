"""Learning rates equal their formulas in NumPy, and work in an optimizer that is saved."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.optimization.learning_rates import InverseSquareRoot, WarmupExponential

pytestmark = pytest.mark.backend_neutral

STEPS = np.arange(50)


def rates(schedule):
    return [float(schedule(step)) for step in STEPS]


def test_inverse_square_root_is_the_papers_with_its_own_peak():
    width, warmup = 16, 12
    peak = (width * warmup) ** -0.5
    noam = [width**-0.5 * min(n**-0.5, n * warmup**-1.5) for n in STEPS + 1.0]  # their eq. (3)
    found = rates(InverseSquareRoot(peak, warmup))
    np.testing.assert_allclose(found, noam, rtol=1e-5)  # float32
    assert max(found) == found[warmup - 1] == pytest.approx(peak)


def test_exponential_rises_falls_and_rests():
    found = rates(WarmupExponential(0.5, 0.1, 10, warmup_steps=4, minimum=0.002))
    rising = [0.5 * n / 4 for n in (1, 2, 3, 4)]
    falling = [max(0.002, 0.5 * 0.1 ** (n / 10)) for n in range(1, 47)]
    np.testing.assert_allclose(found, rising + falling, rtol=1e-5)
    assert found[-1] == pytest.approx(0.002)


def test_exponential_without_warmup_falls_from_the_first_step():
    found = rates(WarmupExponential(1.0, 0.5, 5))
    np.testing.assert_allclose(found, 0.5 ** ((STEPS + 1) / 5), rtol=1e-5)


@pytest.mark.parametrize(
    "schedule",
    [InverseSquareRoot(0.1, 3), WarmupExponential(0.1, 0.5, 4, warmup_steps=2, minimum=0.01)],
)
def test_an_optimizer_takes_it_along_and_counts_on(schedule):
    optimizer = keras.optimizers.SGD(schedule)
    weight = keras.Variable(np.zeros(1, "float32"))
    used = []
    for _ in range(4):
        before = float(weight[0])
        optimizer.apply([ops.ones(1, dtype="float32")], [weight])
        used.append(before - float(weight[0]))
    np.testing.assert_allclose(used, rates(schedule)[:4], rtol=1e-5)
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    again = keras.optimizers.deserialize(config)
    assert again._learning_rate.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InverseSquareRoot(-1, 5), "`learning_rate` must be a number from 0 on; got"),
        (lambda: InverseSquareRoot(0.1, 0), "`warmup_steps` must be a positive integer; got"),
        (lambda: WarmupExponential(0.1, 0, 5), "`decay_rate` must be above 0 and at most 1; got"),
        (lambda: WarmupExponential(0.1, 1.5, 5), "`decay_rate` must be above 0 and at most 1"),
        (lambda: WarmupExponential(0.1, 0.5, 0), "`decay_steps` must be a positive integer"),
        (
            lambda: WarmupExponential(0.1, 0.5, 5, warmup_steps=-1),
            "`warmup_steps` must be a positive integer",
        ),
        (
            lambda: WarmupExponential(0.1, 0.5, 5, minimum=0.2),
            "`minimum` must be at most `learning_rate`; got minimum=0.2",
        ),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
