"""Wrong arguments of layers and searches are refused with a sentence that names the argument."""

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


@pytest.mark.parametrize("value", [0, -1.0, "1", None, True, float("nan"), float("inf")])
def test_positive_number(value):
    with pytest.raises(ValueError, match="`x` must be a finite number above 0; got x="):
        checks.check_positive("x", value)
    with pytest.raises(ValueError, match="`x` must be above 0 and at most 1; got x="):
        checks.check_positive("x", value, most=1)
    checks.check_positive("x", 1, most=1)
    with pytest.raises(ValueError, match=r"got x=1\.5"):
        checks.check_positive("x", 1.5, most=1)


@pytest.mark.parametrize(
    ("bounds", "right", "wrong", "wanted"),
    [
        ({}, -3, [], "a finite number"),
        ({"least": 0}, 0, [-1], "a number from 0 on"),
        ({"least": 0, "below": 100}, 99.5, [-1, 100], "a number from 0 to below 100"),
        ({"least": 0, "most": 0.5}, 0.5, [-1, 0.6], r"a number from 0 to 0\.5"),
    ],
)
def test_number_within_bounds(bounds, right, wrong, wanted):
    given = checks.check_number("x", right, **bounds)
    assert isinstance(given, float)
    assert given == right
    for value in ("1", None, True, float("nan"), float("inf"), 10**400, *wrong):
        with pytest.raises(ValueError, match=f"^`x` must be {wanted}; got x={value!r}"):
            checks.check_number("x", value, **bounds)


def test_number_names_what_it_belongs_to():
    with pytest.raises(ValueError, match=r"^The length penalty's `x` must be a number from 0 on"):
        checks.check_number("x", -1, 0, of="length penalty")


def test_whole_number():
    for value in (2.0, "2", None, True):
        with pytest.raises(TypeError, match=f"`n` must be a whole number; got {value!r}"):
            checks.check_whole("n", value, 0)
    with pytest.raises(ValueError, match=r"`n` must be at least 1; got 0\."):
        checks.check_whole("n", 0, 1)
    with pytest.raises(ValueError, match="`n` must be at least 0 and below 5; got 5"):
        checks.check_whole("n", 5, 0, below=5)
    assert type(checks.check_whole("n", np.int64(4), 0, below=5)) is int


def test_instance():
    checks.check_instance("x", 1, int)
    checks.check_instance("x", None, int, None)
    with pytest.raises(TypeError, match=r"^`x` must be an OSError; got str"):
        checks.check_instance("x", "a", OSError)
    with pytest.raises(TypeError, match=r"^`x` must be a str or an OSError or None; got int"):
        checks.check_instance("x", 1, str, OSError, None)
    with pytest.raises(TypeError, match=r"; got the class str, not str\(\.\.\.\)"):
        checks.check_instance("x", str, str)


@pytest.mark.parametrize("value", ["text", b"text"])
def test_one_string_is_no_list_of_them(value):
    with pytest.raises(TypeError, match=r"`texts` must be a list of strings; got one \w+\. Pass"):
        checks.check_several("texts", value)
    checks.check_several("texts", [value])
