"""Options that contradict each other or change nothing raise an error that says what to do."""

import keras
import pytest

from support.designs import WIDTH, NestedCell, decoder_of, decoder_with, lstm_cell


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention_vector", "layer"),
        ("attention_vector", "context"),
        ("attention_size", 3),
        ("attention_activation", "tanh"),
        ("output_from", "attention"),
        ("attend_with", "previous"),
        ("attention_in", "first"),
        ("input_feeding", True),
    ],
)
def test_options_of_attention_need_attention(name, value):
    with pytest.raises(ValueError, match=f"`{name}` needs attention; got attention=None, {name}="):
        decoder_with(attention=None, **{name: value})
    decoder_with(attention=None, output_from="cell")


CONTRADICTIONS = [
    ({"attend_with": "previous", "input_feeding": True}, "already feeds its context"),
    ({"attention_in": "first"}, "needs a layer above the first; got depth=1"),
    (
        {"attention_in": "first", "depth": 2, "output_from": "attention"},
        "`output_from` must be 'cell' or left out",
    ),
    ({"output_from": "cell"}, "Nothing would read the attention"),
    ({"attention_vector": "context", "attention_size": 3}, "`attention_size` belongs to"),
    (
        {"attention_vector": "concatenation", "attention_activation": "relu"},
        "`attention_activation` belongs to an attention layer.*'concatenation'",
    ),
    (
        {"attend_with": "previous", "output_from": "cell", "attention_size": 3},
        "`attention_size` belongs to an attention layer, and this decoder has none",
    ),
    (
        {"attend_with": "previous", "output_from": "cell", "attention_vector": "context"},
        "`attention_vector` needs a reader, and this decoder has none",
    ),
    (
        {"attend_with": "previous", "output_from": "cell", "attention_vector": "layer"},
        "`attention_vector` needs a reader, and this decoder has none",
    ),
]


@pytest.mark.parametrize(("options", "message"), CONTRADICTIONS)
def test_contradictions_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        decoder_with(**options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention_vector", "vector"),
        ("attention_vector", 1),
        ("attend_with", "next"),
        ("attend_with", None),
        ("attention_in", "second"),
        ("attention_in", 0),
        ("output_from", "state"),
    ],
)
def test_unknown_values_are_errors(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be one of .*; got {name}={value!r}"):
        decoder_with(**{name: value})


@pytest.mark.parametrize(
    "name",
    [
        "input_feeding",
        "residual",
        "layer_norm",
        "tied_embedding",
        "output_bias",
        "trainable_embedding",
    ],
)
@pytest.mark.parametrize("value", [1, "yes", None])
def test_flags_of_another_type_are_errors(name, value):
    with pytest.raises(TypeError, match=f"`{name}` must be True or False; got {name}={value!r}"):
        decoder_with(**{name: value})


@pytest.mark.parametrize(
    "name", ["dropout", "recurrent_dropout", "embedding_dropout", "word_dropout"]
)
@pytest.mark.parametrize("value", [1.0, -0.5, "0.1", True])
def test_shares_out_of_range_are_errors(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 0 .*got {name}={value!r}"):
        decoder_with(**{name: value})


@pytest.mark.parametrize("value", ["tahn", 3])
def test_an_unknown_activation_is_an_error(value):
    with pytest.raises(ValueError, match="`attention_activation` must be the name of"):
        decoder_with(attention_activation=value)


class TurnedCell(NestedCell):
    """Its first state tensor is not as wide as its output."""

    output_size = WIDTH + 1


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (keras.layers.StackedRNNCells([lstm_cell(), lstm_cell()]), "belongs to the lowest cell"),
        (TurnedCell(WIDTH), "got a state of 4 and an output of 5"),
    ],
)
def test_a_state_that_is_not_the_last_output_cannot_attend(cell, message):
    with pytest.raises(ValueError, match=message):
        decoder_with(cell=cell, units=None, attend_with="previous")


@pytest.mark.parametrize(
    "cell",
    [
        lstm_cell(dropout=0.1),
        lstm_cell(recurrent_dropout=0.1),
        keras.layers.StackedRNNCells([lstm_cell(), lstm_cell(dropout=0.1)]),
    ],
)
@pytest.mark.parametrize("options", [{"input_feeding": True}, {"attend_with": "previous"}])
def test_cells_with_dropout_of_their_own_do_not_loop(cell, options):
    if hasattr(cell, "cells") and "attend_with" in options:
        pytest.skip("a stack of cells does not attend with its previous state")
    with pytest.raises(ValueError, match="give `dropout` to the decoder"):
        decoder_with(cell=cell, units=None, **options)
    decoder_with(cell=cell, units=None)


def test_a_tied_embedding_needs_vectors_of_its_width():
    for options in ({"units": 5}, {"attention_size": 7}, {"attention_vector": "concatenation"}):
        with pytest.raises(ValueError, match=r"`tied_embedding` needs .* a width of"):
            decoder_of("tied", **options)
    assert decoder_of("tied", units=5, attention_size=WIDTH).built
