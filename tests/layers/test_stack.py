"""Tests of the parts of a stack: widths, residuals, and one cell for each layer."""

import keras
import pytest

from keras_s2s.layers import stack
from support.designs import NestedCell


def blocks(cell="gru", units=3, depth=None, **options):
    defaults = {
        "dropout": 0.0,
        "recurrent_dropout": 0.0,
        "residual": False,
        "layer_norm": False,
        "dtype": "float32",
    }
    return stack.blocks(cell, units, depth, **{**defaults, **options})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"depth": 3}, [False, True, True]),
        ({"depth": 2, "bidirectional": True}, [False, True]),
        # The first layer of GNMT's encoder is twice as wide as the second.
        ({"depth": 4, "bidirectional": "first"}, [False, False, True, True]),
        ({"cell": ["gru", "lstm"]}, [False, True]),
        ({"cell": [keras.layers.GRUCell(n) for n in (3, 4, 4)], "units": None}, [0, 0, 1]),
        # A cell that declares no `output_size` is as wide as the first tensor of its state.
        ({"cell": [NestedCell(3), NestedCell(3)], "units": None}, [False, True]),
    ],
    ids=["three", "bidirectional", "first", "list", "widths", "no output size"],
)
def test_a_residual_goes_around_all_but_the_first_where_widths_fit(options, expected):
    assert [block.residual for block in blocks(residual=True, **options)] == expected


@pytest.mark.parametrize(
    "options",
    [{}, {"depth": 2, "bidirectional": "first"}, {"cell": [NestedCell(2), "gru"]}],
    ids=["one layer", "first", "widths"],
)
def test_a_residual_around_no_layer_is_an_error(options):
    with pytest.raises(ValueError, match="`residual` needs a second layer as wide"):
        blocks(residual=True, **options)


def test_first_is_bidirectional_in_the_first_layer_alone():
    for bidirectional, expected in ((True, [1, 1]), (False, [0, 0]), ("first", [1, 0])):
        made = blocks(depth=2, bidirectional=bidirectional)
        assert [block.bidirectional for block in made] == expected
        assert [block.units for block in made] == [6 if both else 3 for both in expected]


def test_options_reach_every_layer():
    for block in blocks(depth=2, dropout=0.1, recurrent_dropout=0.2, layer_norm=True):
        assert (block.dropout, block.recurrent_dropout, block.layer_norm) == (0.1, 0.2, True)
        assert block.dropping.rate == 0.1
        assert block.recurrent.recurrent_dropout == 0.2


@pytest.mark.parametrize(
    ("cell", "depth", "message"),
    [
        ([], None, "one cell per layer; got 0 cells"),
        (["gru"], 2, "one cell per layer; got 1 cells, depth=2"),
        (keras.layers.GRUCell(3), 2, "give a list with one cell per layer; got one GRUCell"),
    ],
)
def test_layers_that_do_not_fit_their_depth_are_an_error(cell, depth, message):
    with pytest.raises(ValueError, match=message):
        blocks(cell, units=None, depth=depth)


def test_one_cell_for_two_layers_is_an_error():
    cell = keras.layers.GRUCell(3)
    with pytest.raises(ValueError, match="holds the same cell twice"):
        blocks([cell, cell], units=None)


@pytest.mark.parametrize(
    ("units", "cell", "error", "message"),
    [
        (3, keras.layers.GRUCell(3), ValueError, "leave `units` out; got units=3"),
        (None, "gru", ValueError, "`units` must be a positive integer; got units=None"),
        (3, ["gru", "elman"], ValueError, "'lstm', 'gru', .*; got cell='elman'"),
        (3, None, TypeError, "NoneType does not: it would have to be a keras Layer"),
        (3, 7, TypeError, "int does not"),
    ],
)
def test_cell_and_units_that_do_not_fit_are_an_error(units, cell, error, message):
    with pytest.raises(error, match=message):
        stack.check_stack(5, 4, units, None, cell)


def test_names_and_cells_round_trip_in_any_list():
    cells = ["gru", NestedCell(3), keras.layers.LSTMCell(2)]
    again = stack.deserialized_cell(stack.serialized_cell(cells))
    assert [type(each) for each in again] == [type(each) for each in cells]
    assert (again[0], again[1].units, again[2].units) == ("gru", 3, 2)
