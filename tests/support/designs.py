"""Tables of designs and options, and functions that make layers of them, for tests of every option.

A table of options names each constructor option of a class, with the values that are worth a test
of their own. An option without a row fails a test.
"""

import json

import keras
import numpy as np

from keras_s2s import (
    Attention,
    ConstantSchedule,
    CopyBridge,
    CoverageScore,
    Decoder,
    DenseBridge,
    Encoded,
    Encoder,
    ExponentialSchedule,
    GuidedAlignment,
    InverseSigmoidSchedule,
    LinearSchedule,
    LocalMonotonicWindow,
    LocalPredictiveWindow,
    MeanBridge,
    Monotonic,
    MultiHeadAttention,
    Seq2Seq,
    ZeroBridge,
)
from keras_s2s.layers.recurrent import RecurrentBlock

VOCABULARY, WIDTH = 9, 4
# The rows: one that ends, one with a gap, one of padding alone in the source, one without padding.
SOURCE = np.array([[4, 5, 6, 3, 0], [7, 0, 8, 0, 3], [0, 0, 0, 0, 0], [4, 4, 8, 7, 3]])
TARGET = np.array([[2, 4, 5, 6], [2, 7, 8, 0], [2, 5, 0, 0], [2, 8, 7, 6]])
LABELS = np.array([[4, 5, 6, 3], [7, 8, 3, 0], [5, 3, 0, 0], [8, 7, 6, 3]])
INPUTS = {"source_ids": SOURCE, "target_ids": TARGET}


def monotonic():
    return Attention("general", Monotonic("recursive"))


# Every design of a decoder that an oracle computes. All have 4 units, so that residuals fit.
DESIGNS = {
    "plain": {"attention": None},
    "plain, two layers": {"attention": None, "depth": 2},
    "Luong": {},
    "Luong, two layers": {"depth": 2, "cell": "gru"},
    "dot": {"attention": "dot"},
    "concat": {"attention": "concat"},
    "several": {"attention": ["general", "concat"]},
    "monotonic": {"attention": monotonic},
    "concatenation": {"attention_vector": "concatenation"},
    "context": {"attention_vector": "context"},
    "attention size": {"attention_size": 7, "attention_activation": "linear"},
    "feeding": {"input_feeding": True, "depth": 2},
    "feeding concatenation": {"input_feeding": True, "attention_vector": "concatenation"},
    "feeding context": {"input_feeding": True, "attention_vector": "context", "cell": "gru"},
    "feeding several": {"input_feeding": True, "attention": ["dot", "concat"], "attention_size": 3},
    "feeding monotonic": {"input_feeding": True, "attention": monotonic},
    "feeding, logits from the cell": {"input_feeding": True, "output_from": "cell"},
    "Bahdanau": {"attend_with": "previous", "attention": "concat", "cell": "gru"},
    "Bahdanau, two layers": {"attend_with": "previous", "depth": 2},
    "Bahdanau, logits from the cell": {"attend_with": "previous", "output_from": "cell"},
    "Bahdanau monotonic": {"attend_with": "previous", "attention": monotonic},
    "GNMT": {"attention_in": "first", "depth": 3, "residual": True, "attention_vector": "context"},
    "GNMT with a layer": {"attention_in": "first", "depth": 2},
    "GNMT feeding": {"attention_in": "first", "depth": 2, "input_feeding": True},
    "GNMT previous": {"attention_in": "first", "depth": 2, "attend_with": "previous"},
    "residual and norm": {"depth": 3, "residual": True, "layer_norm": True},
    "residual, norm, feeding": {
        "depth": 2,
        "residual": True,
        "layer_norm": True,
        "input_feeding": True,
    },
    "tied": {"tied_embedding": True},
    "tied, no bias": {"tied_embedding": True, "output_bias": False},
    "no bias": {"output_bias": False},
    "layer_norm_lstm": {"cell": "layer_norm_lstm", "depth": 2},
    "layer_norm_lstm feeding": {"cell": "layer_norm_lstm", "input_feeding": True},
    "list of cells": {"cell": ["gru", "lstm"]},
}


def decoder_of(design="Luong", dtype="float32", memory=WIDTH, seed=1, **more):
    """Returns a built decoder with weights neither zero nor alike, so that no term can hide."""
    options = {**DESIGNS.get(design, {}), **more}
    if callable(options.get("attention")):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)
        options["attention"] = options["attention"]()
        keras.config.set_dtype_policy(before)
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": WIDTH}
    if "units" not in options:
        sizes["units"] = WIDTH
    decoder = Decoder(**{**sizes, **options}, dtype=dtype)
    state = [[(None, size) for size in layer] for layer in decoder.state_sizes]
    decoder.build((None, None), state, (None, None, memory))
    return randomized(decoder, seed)


def randomized(layer, seed=1, scale=0.6):
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0.1, scale, w.shape) for w in layer.weights])
    return layer


def state_and_encoded(decoder, dtype="float32", rows=4, seed=0, memory=WIDTH):
    rng = np.random.default_rng(seed)
    state = tuple(
        tuple(rng.normal(size=(rows, size)).astype(dtype) for size in layer)
        for layer in decoder.state_sizes
    )
    values = rng.normal(size=(rows, SOURCE.shape[1], memory)).astype(dtype)
    return state, Encoded(values, SOURCE[:rows] != 0)


def same(ours, theirs, atol):
    ours, theirs = keras.tree.flatten(ours), keras.tree.flatten(theirs)
    for a, b in zip(ours, theirs, strict=True):
        a, b = (keras.ops.convert_to_numpy(x) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def as_float32(tensors):
    return keras.tree.map_structure(lambda x: keras.ops.cast(x, "float32"), tensors)


# Every option of every class, each value with the other options that it needs.


@keras.saving.register_keras_serializable(package="tests")
class NestedCell(keras.layers.Layer):
    """A cell from outside, whose state is nested and whose output has no declared size."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, [units, 2]]
        self.mixing = keras.layers.Dense(units, "tanh", dtype=self.dtype_policy)
        self.counting = keras.layers.Dense(2, "tanh", dtype=self.dtype_policy)

    def build(self, input_shape):
        self.mixing.build((None, input_shape[-1] + self.units))
        self.counting.build((None, self.units))

    def call(self, inputs, states):
        slow, (fast, count) = states
        fast = self.mixing(keras.ops.concatenate([inputs, fast], axis=-1))
        slow = 0.5 * slow + 0.5 * fast * keras.ops.tanh(keras.ops.sum(count, -1, keepdims=True))
        return slow, [slow, [fast, count + self.counting(fast)]]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def lstm_cell(**kwargs):
    return keras.layers.LSTMCell(WIDTH, **kwargs)


def cells():
    """Returns values of `cell` that take no `units`."""
    return {
        "SimpleRNNCell": lambda: keras.layers.SimpleRNNCell(WIDTH),
        "GRUCell": lambda: keras.layers.GRUCell(WIDTH),
        "LSTMCell with dropout": lambda: lstm_cell(dropout=0.1, recurrent_dropout=0.1),
        "stack": lambda: keras.layers.StackedRNNCells([lstm_cell(), keras.layers.GRUCell(WIDTH)]),
        "nested": lambda: NestedCell(WIDTH),
        "list": lambda: [lstm_cell(), NestedCell(WIDTH)],
    }


def cell_rows():
    return [
        {"cell": "gru"},
        {"cell": "layer_norm_lstm"},
        {"cell": ["lstm", "gru"]},
        *({"cell": make(), "units": None} for make in cells().values()),
    ]


SHARES = ("dropout", "recurrent_dropout", "embedding_dropout", "word_dropout")
STACK = {
    "vocabulary_size": lambda: [{}],
    "embedding_size": lambda: [{}],
    "units": lambda: [{}],
    "depth": lambda: [{"depth": 2}],
    "cell": cell_rows,
    "residual": lambda: [{"residual": True, "depth": 2}],
    "layer_norm": lambda: [{"layer_norm": True}],
    **{name: lambda name=name: [{name: 0.2}] for name in SHARES},
    "trainable_embedding": lambda: [{"trainable_embedding": False}],
    "embedding_scale": lambda: [{"embedding_scale": 1.5}],
}
ENCODER_ALONE = {
    "bidirectional": lambda: [
        {"bidirectional": False},
        {"bidirectional": "first", "depth": 3, "residual": True},
    ],
    "reverse_source": lambda: [{"reverse_source": True}],
    "source_features": lambda: [{"source_features": ((5, 2), (3, 1))}],
    "pad_id": lambda: [{"pad_id": 1}],
}
DECODER_ALONE = {
    "attention": lambda: [
        {"attention": attention}
        for attention in (
            None,
            "dot",
            "scaled_general",
            "normalized_concat",
            "location",
            CoverageScore(units=3, fertility=2.0),
            Attention("general", "sparsemax", dropout=0.2),
            Attention("general", Monotonic("parallel", noise=1.0)),
            Attention("concat", window=LocalMonotonicWindow(2)),
            Attention("general", window=LocalPredictiveWindow(2)),
            MultiHeadAttention(heads=2),
            ["general", "concat"],
        )
    ],
    "attention_vector": lambda: [
        {"attention_vector": "layer"},
        {"attention_vector": "concatenation"},
        {"attention_vector": "context"},
    ],
    "attention_size": lambda: [{"attention_size": 3}],
    "attention_activation": lambda: [{"attention_activation": "linear"}],
    "attend_with": lambda: [{"attend_with": "previous", "dropout": 0.2, "recurrent_dropout": 0.2}],
    "attention_in": lambda: [
        {"attention_in": "first", "depth": 2},
        {"attention_in": "first", "depth": 2, "attend_with": "previous"},
    ],
    "input_feeding": lambda: [
        {"input_feeding": True, "dropout": 0.2, "recurrent_dropout": 0.2},
        {"input_feeding": True, "attention": Attention("general", Monotonic(noise=1.0))},
        {"input_feeding": True, "cell": NestedCell(WIDTH), "units": None},
    ],
    "output_from": lambda: [{"output_from": "cell", "input_feeding": True}],
    "tied_embedding": lambda: [{"tied_embedding": True}],
    "output_bias": lambda: [
        {"output_bias": False},
        {"output_bias": False, "tied_embedding": True},
    ],
}
ENCODER, DECODER = {**STACK, **ENCODER_ALONE}, {**STACK, **DECODER_ALONE}
BLOCK = {
    "cell": cell_rows,
    "units": lambda: [{}],
    "bidirectional": lambda: [{"bidirectional": True}],
    "dropout": lambda: [{"dropout": 0.2}],
    "recurrent_dropout": lambda: [{"recurrent_dropout": 0.2}],
    "residual": lambda: [{"residual": True}],
    "layer_norm": lambda: [{"layer_norm": True}],
}
SIZES = ((WIDTH, WIDTH),)
BRIDGES = {
    CopyBridge: {},
    ZeroBridge: {"state_sizes": lambda: [{"state_sizes": SIZES}]},
    DenseBridge: {
        "state_sizes": lambda: [{"state_sizes": SIZES}],
        "activation": lambda: [{"state_sizes": SIZES, "activation": "linear"}],
    },
    MeanBridge: {
        "state_sizes": lambda: [{"state_sizes": SIZES}],
        "activation": lambda: [{"state_sizes": SIZES, "activation": "linear"}],
    },
}
MODEL = {
    "encoder": lambda: [{}],
    "decoder": lambda: [{}],
    "bridge": lambda: [
        {"bridge": kind(**row)} for kind, table in BRIDGES.items() for row in rows(table) or [{}]
    ],
    "shared_embedding": lambda: [{"shared_embedding": True}],
    "teacher_forcing": lambda: [
        {"teacher_forcing": ConstantSchedule(0.5)},
        {"teacher_forcing": LinearSchedule(0.1, 0.9, 0.2)},
        {"teacher_forcing": ExponentialSchedule(0.9)},
        {"teacher_forcing": InverseSigmoidSchedule(2.0)},
    ],
    "guided_alignment": lambda: [
        {"guided_alignment": GuidedAlignment()},
        {"guided_alignment": GuidedAlignment("mse", weight=0.5)},
    ],
}


def rows(table):
    """Returns all rows of a table, without those that repeat the defaults."""
    return [row for make in table.values() for row in make() if row]


def name_of(row):
    """Returns a row in words, for the names of tests and files."""

    def word(value):
        if isinstance(value, (list, tuple)):
            return "+".join(map(word, value))
        if isinstance(value, (str, int, float, type(None))):
            return str(value)
        own = getattr(value, "score", None)
        return type(value).__name__ + (f" {word(own)}" if own is not None else "")

    return ", ".join(f"{name} {word(value)}" for name, value in row.items()) or "defaults"


def encoder_with(**row):
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": WIDTH, "units": WIDTH}
    return Encoder(**{**sizes, **row})


def decoder_with(**row):
    sizes = {"vocabulary_size": VOCABULARY, "embedding_size": WIDTH, "units": WIDTH}
    return Decoder(**{**sizes, **row})


def model_with(**row):
    """Returns a model of equal sizes with a forward encoder, so that states can be copied."""
    return Seq2Seq(
        **{"encoder": encoder_with(bidirectional=False), "decoder": decoder_with(), **row}
    )


def model_and_inputs(kind, row, again):
    """Returns a model with a row of the table of `kind`, and its inputs.

    Options that encoder and decoder have in common are given to both. `again` is the row made once
    more, because the two share no cell.
    """
    inputs = dict(INPUTS)
    if "source_features" in row:
        inputs["source_features"] = np.arange(40).reshape(4, 5, 2) % 3
    if "guided_alignment" in row:
        inputs["alignments"] = np.eye(4, 5)[None].repeat(4, axis=0).astype("float32")
    if kind == "both":
        return Seq2Seq(encoder_with(**row), decoder_with(**again)), inputs
    if kind == "encoder":
        return Seq2Seq(encoder_with(**row), decoder_with(attention="concat")), inputs
    if kind == "decoder":
        return Seq2Seq(encoder_with(bidirectional=False), decoder_with(**row)), inputs
    return model_with(**row), inputs


def every_model():
    """Returns the name of every row with a function that makes `(model, inputs)` anew."""
    made = {}
    tables = {"both": STACK, "encoder": ENCODER_ALONE, "decoder": DECODER_ALONE, "model": MODEL}
    for kind, table in tables.items():
        for make in table.values():
            for i, row in enumerate(make()):
                if row:
                    made[f"{kind} {name_of(row)}"] = lambda kind=kind, make=make, i=i: (
                        model_and_inputs(kind, make()[i], make()[i])
                    )
    return made


def as_json(config):
    return json.loads(json.dumps(config))


BLOCK_CLASS = RecurrentBlock
