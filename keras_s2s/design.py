"""Which options of a decoder belong together: nothing is accepted that would change nothing."""

from __future__ import annotations

from typing import Any

import keras


def check_design(decoder: Any) -> None:
    """Raises ValueError for options that contradict each other or would change nothing."""
    given = {
        "attention_vector": decoder.attention_vector,
        "attention_size": decoder.attention_size,
        "attention_activation": decoder.attention_activation,
        "output_from": decoder.output_from if decoder.output_from == "attention" else None,
        "attend_with": None if decoder.attend_with == "current" else decoder.attend_with,
        "attention_in": None if decoder.attention_in == "last" else decoder.attention_in,
        "input_feeding": decoder.input_feeding or None,
    }
    if decoder.attention is None:
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"`{name}` needs attention; got attention=None, {name}={value!r}.")
        return
    if decoder.looped and decoder.input_feeding and decoder.attend_with == "previous":
        raise ValueError(
            "Attention with the previous state feeds its context already: leave "
            "`input_feeding` out; got attend_with='previous', input_feeding=True."
        )
    if decoder.attention_in == "first" and decoder.depth == 1:
        raise ValueError("`attention_in='first'` needs a layer above the first; got depth=1.")
    if decoder.attention_in == "first" and decoder.from_attention:
        raise ValueError(
            "With attention in the first layer the logits come from the layers above it: "
            "`output_from` must be 'cell' or left out; got output_from='attention'."
        )
    if not decoder.has_vector and decoder.attend_with == "current":
        raise ValueError(
            "Nothing would read the attention: output_from='cell' needs `input_feeding`, "
            "attend_with='previous' or attention_in='first'."
        )
    if not decoder.has_vector and decoder.attention_vector is not None:
        raise ValueError(
            "`attention_vector` is what the logits, `input_feeding` or layers above the attention "
            "read, and this decoder has none of them; got "
            f"attention_vector={decoder.attention_vector!r}, output_from='cell'."
        )
    vector = decoder.attention_vector or "layer"
    for name in ("attention_size", "attention_activation"):
        if given[name] is not None and (vector != "layer" or not decoder.has_vector):
            raise ValueError(
                f"`{name}` belongs to an attention layer, and this decoder has none; got "
                f"attention_vector={vector!r}, {name}={given[name]!r}."
            )
    attending = decoder.attending_block
    if decoder.attend_with == "previous" and hasattr(attending.cell, "cells"):
        raise ValueError(
            "attend_with='previous' takes the first tensor of the state for the cell's last "
            f"output, and that of {type(attending.cell).__name__} belongs to its lowest cell: give "
            "`cell` a list, one cell a layer."
        )
    state, size = attending.state_sizes[0], attending.units
    if decoder.attend_with == "previous" and state != size:
        raise ValueError(
            "attend_with='previous' takes the first tensor of the state for the cell's last "
            f"output; it is {state} wide, and the output {size}."
        )
    dropping = [
        cell.name
        for block in decoder.blocks
        for cell in keras.tree.flatten(getattr(block.cell, "cells", block.cell))
        if getattr(cell, "dropout", 0) or getattr(cell, "recurrent_dropout", 0)
    ]
    if decoder.looped and dropping:
        raise ValueError(
            "A decoder that loops applies dropout itself: give `dropout` to the decoder, not "
            f"to its Keras cells; got cells with dropout: {', '.join(dropping)}."
        )
