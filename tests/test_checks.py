"""Arguments of layers and searches: what is refused, and that the sentence names it."""

import numpy as np
import pytest

from keras_s2s.system import checks


@pytest.mark.parametrize("value", [0, -2, 1.5, True, "8", None])
def test_sizes_are_positive_integers(value):
    with pytest.raises(
        ValueError, match=f"`units` must be a positive integer; got units={value!r}"
    ):
        checks.check_size("units", value)
    checks.check_size("units", 1)


@pytest.mark.parametrize("value", [0, -2, 1.5, True, "8"])
def test_optional_sizes_are_positive_integers_or_none(value):
    expected = f"`units` must be a positive integer or None; got units={value!r}"
    with pytest.raises(ValueError, match=expected):
        checks.check_optional_size("units", value)
    checks.check_optional_size("units", None)
    checks.check_optional_size("units", 1)


@pytest.mark.parametrize("value", [1, 0, 1.0, "last", None])
def test_what_equals_a_choice_but_is_of_another_type_is_no_choice(value):
    """`1 == True`, yet a test by `is True` later would miss it."""
    with pytest.raises(ValueError, match=r"`way` must be one of True, 'first'; got way="):
        checks.check_choice("way", value, (True, "first"))
    checks.check_choice("way", True, (True, "first"))
    checks.check_choice("way", "first", (True, "first"))


@pytest.mark.parametrize("shape", [(2, 4), (1, 5), (2, 5, 1), (2,)])
def test_masks_have_a_place_for_each_value(shape):
    values = np.ones((2, 5, 3))
    received = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    with pytest.raises(ValueError, match=rf"`mask` .* values \(2, 5, 3\); got \({received}\)"):
        checks.check_mask(np.ones(shape, bool), values)
    checks.check_mask(np.ones((2, 5), bool), values)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_masks_are_bool(dtype):
    with pytest.raises(TypeError, match=f"`mask` must be bool, True where .* got {dtype}"):
        checks.check_mask(np.ones((2, 5), dtype), np.ones((2, 5, 3)))


@pytest.mark.parametrize("value", [-0.1, 1, 1.0, "0.5", None, True, float("nan")])
def test_shares_are_from_zero_to_below_one(value):
    with pytest.raises(ValueError, match=r"`rate` must be at least 0 and below 1; got rate="):
        checks.check_shares(rate=value)


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_flags_are_true_or_false(value):
    with pytest.raises(TypeError, match=r"`flag` must be True or False; got flag="):
        checks.check_flags(flag=value)


@pytest.mark.parametrize("value", ["tahn", "", 3, None, np.tanh])
def test_activations_are_names_that_keras_knows(value):
    with pytest.raises(ValueError, match=r"`act` must be the name of a Keras activation"):
        checks.check_activation("act", value)
    checks.check_activation("act", "linear")
