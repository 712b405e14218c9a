"""The options of a decoder that say how its recurrent layers and its attention are joined.

They choose the state that attends, the form of the attentional vector, the vectors that are fed
back, and the source of the logits. An option that would change nothing is an error. `decoder_stack`
runs a design.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import keras

from keras_s2s.layers.attention import Mechanism
from keras_s2s.layers.recurrent.foreign import cell_width
from keras_s2s.layers.stack import deserialized_cell, layer_cells, serialized_cell
from keras_s2s.system.checks import (
    check_activation,
    check_choice,
    check_flags,
    check_shares,
    check_size,
)

VECTORS = ("layer", "concatenation", "context")


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Options of a `Decoder` that are known to fit together. `Decoder` describes each of them.

    Raises:
        ValueError: If the value of an option is unknown, contradicts another option, or would
            change nothing.
        TypeError: If a flag is neither True nor False.
    """

    units: int | None
    depth: int
    cell: Any
    attention: Mechanism | None
    attention_vector: str | None
    attention_size: int | None
    attention_activation: str | None
    attend_with: str
    attention_in: str
    input_feeding: bool
    output_from: str | None
    residual: bool
    layer_norm: bool
    dropout: float
    recurrent_dropout: float

    def __post_init__(self) -> None:
        check_shares(dropout=self.dropout, recurrent_dropout=self.recurrent_dropout)
        check_flags(
            input_feeding=self.input_feeding, residual=self.residual, layer_norm=self.layer_norm
        )
        check_choice("attention_vector", self.attention_vector, (None, *VECTORS))
        check_choice("attend_with", self.attend_with, ("current", "previous"))
        check_choice("attention_in", self.attention_in, ("last", "first"))
        check_choice("output_from", self.output_from, (None, "attention", "cell"))
        if self.attention_size is not None:
            check_size("attention_size", self.attention_size)
        if self.attention_activation is not None:
            check_activation("attention_activation", self.attention_activation)
        if self.attention is None:
            _check_without_attention(self)
            return
        _check_readers_of_attention(self)
        _check_vector(self)
        _check_cells(self)

    @property
    def looped(self) -> bool:
        """Whether a step of the layers needs the step before it, so that they run in one loop."""
        return self.input_feeding or self.attend_with == "previous"

    @property
    def carries(self) -> bool:
        """Whether the decoder's state holds more than the states of its layers.

        `Decoder.initial_state` says what else it holds.
        """
        return self.input_feeding or (self.attention is not None and self.attention.remembers)

    @property
    def attending_layer(self) -> int:
        """The index of the layer whose state attends."""
        return 0 if self.attention_in == "first" else self.depth - 1

    @property
    def from_attention(self) -> bool:
        """Whether the logits come from the attentional vector."""
        if self.output_from is None:
            return self.attention is not None and self.attention_in == "last"
        return self.output_from == "attention"

    @property
    def has_vector(self) -> bool:
        """Whether anything reads the attentional vector."""
        upward = self.attention is not None and self.attention_in == "first"
        return self.from_attention or self.input_feeding or upward

    @property
    def has_attention_layer(self) -> bool:
        """Whether a layer with weights makes the attentional vector."""
        return self.has_vector and (self.attention_vector or "layer") == "layer"

    def get_config(self) -> dict[str, Any]:
        """Returns every option under its name, for the configuration of the decoder."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "cell": serialized_cell(self.cell),
            "attention": keras.saving.serialize_keras_object(self.attention),
        }


def deserialized_options(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a decoder's configuration with its attention and its cells made into objects."""
    attention = keras.saving.deserialize_keras_object(config["attention"])
    return {**config, "attention": attention, "cell": deserialized_cell(config["cell"])}


def _check_without_attention(design: Design) -> None:
    """Raises ValueError for an option that only attention would read."""
    options = {
        "attention_vector": design.attention_vector,
        "attention_size": design.attention_size,
        "attention_activation": design.attention_activation,
        "output_from": design.output_from if design.output_from == "attention" else None,
        "attend_with": None if design.attend_with == "current" else design.attend_with,
        "attention_in": None if design.attention_in == "last" else design.attention_in,
        "input_feeding": design.input_feeding or None,
    }
    for name, value in options.items():
        if value is not None:
            raise ValueError(f"`{name}` needs attention; got attention=None, {name}={value!r}.")


def _check_readers_of_attention(design: Design) -> None:
    """Raises ValueError unless something reads the attention, and nothing reads it twice."""
    if design.input_feeding and design.attend_with == "previous":
        raise ValueError(
            "Attention with the previous state already feeds its context: leave "
            "`input_feeding` out; got attend_with='previous', input_feeding=True."
        )
    if design.attention_in == "first" and design.depth == 1:
        raise ValueError("`attention_in='first'` needs a layer above the first; got depth=1.")
    if design.attention_in == "first" and design.from_attention:
        raise ValueError(
            "With attention in the first layer the logits come from the layers above it: "
            "`output_from` must be 'cell' or left out; got output_from='attention'."
        )
    if not design.has_vector and design.attend_with == "current":
        raise ValueError(
            "Nothing would read the attention: output_from='cell' needs `input_feeding`, "
            "attend_with='previous' or attention_in='first'."
        )


def _check_vector(design: Design) -> None:
    """Raises ValueError for options of an attentional vector or layer that the design lacks."""
    if not design.has_vector and design.attention_vector is not None:
        raise ValueError(
            "`attention_vector` needs a reader, and this decoder has none. A reader is logits from "
            "the attention, `input_feeding`, or layers above the attention; got "
            f"attention_vector={design.attention_vector!r}, output_from='cell'."
        )
    for name in ("attention_size", "attention_activation"):
        if getattr(design, name) is not None and not design.has_attention_layer:
            raise ValueError(
                f"`{name}` belongs to an attention layer, and this decoder has none; got "
                f"attention_vector={design.attention_vector or 'layer'!r}, "
                f"{name}={getattr(design, name)!r}."
            )


def _check_cells(design: Design) -> None:
    """Raises ValueError for Keras cells that cannot be joined to the attention."""
    cells = layer_cells(design.cell, design.depth)
    attending = cells[design.attending_layer]
    if design.attend_with == "previous" and not isinstance(attending, str):
        _check_previous_output(attending)
    cells_with_dropout = [
        cell.name
        for cell in keras.tree.flatten([getattr(cell, "cells", cell) for cell in cells])
        if getattr(cell, "dropout", 0) or getattr(cell, "recurrent_dropout", 0)
    ]
    if design.looped and cells_with_dropout:
        raise ValueError(
            "A decoder that loops applies dropout itself: give `dropout` to the decoder, not "
            f"to its Keras cells; got cells with dropout: {', '.join(cells_with_dropout)}."
        )


def _check_previous_output(cell: Any) -> None:
    """Raises ValueError for a Keras cell whose state does not begin with its last output."""
    if hasattr(cell, "cells"):
        raise ValueError(
            "attend_with='previous' takes the first tensor of the state for the cell's last "
            f"output, but in {type(cell).__name__} that tensor belongs to the lowest cell: give "
            "`cell` a list with one cell per layer."
        )
    state, size = keras.tree.flatten(cell.state_size)[0], cell_width(cell)
    if state != size:
        raise ValueError(
            "attend_with='previous' takes the first tensor of the state for the cell's last "
            f"output, so their widths must be equal; got a state of {state} and an output of "
            f"{size}."
        )
