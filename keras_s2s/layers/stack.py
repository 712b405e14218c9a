"""The recurrent stack of an encoder or a decoder: its blocks, their cells and checks."""

from __future__ import annotations

from typing import Any

import keras

from keras_s2s.layers.recurrent import CELLS, RecurrentBlock
from keras_s2s.layers.recurrent.foreign import cell_width, check_cell
from keras_s2s.layers.scan import Tensors
from keras_s2s.system.checks import check_size

State = tuple[Tensors, ...]


def blocks(
    cell: Any,
    units: int | None,
    depth: int | None,
    *,
    dropout: float,
    recurrent_dropout: float,
    residual: bool,
    layer_norm: bool,
    dtype: Any,
    bidirectional: bool | str = False,
) -> list[RecurrentBlock]:
    """Makes the layers of a stack, the lowest first.

    A residual connection goes around each layer whose outputs are as wide as its inputs, except
    around the first layer.

    Args:
        cell: the name of a cell, a Keras RNN cell, or a list of names and cells with one per layer.
        units: width of named cells.
        depth: number of layers; when omitted, the length of the list, or 1.
        dropout: share of each layer's inputs that training drops.
        recurrent_dropout: share of the recurrent state that training drops in named cells.
        residual: whether there are residual connections.
        layer_norm: whether the outputs of layers are normalised.
        dtype: dtype policy of the layers.
        bidirectional: True, False, or 'first' for the first layer alone.

    Raises:
        ValueError: If the cells do not fit the depth, or no layer can have the residual connection
            that `residual` asks for.
    """
    layers: list[RecurrentBlock] = []
    for i, layer_cell in enumerate(layer_cells(cell, depth)):
        both = bidirectional is True or (bidirectional == "first" and i == 0)
        block = RecurrentBlock(
            layer_cell,
            units if isinstance(layer_cell, str) else None,
            bidirectional=both,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            residual=residual and i > 0 and layers[-1].units == _width(layer_cell, units, both),
            layer_norm=layer_norm,
            dtype=dtype,
            name=f"block_{i}",
        )
        layers.append(block)
    if residual and not any(block.residual for block in layers):
        raise ValueError(
            "`residual` needs a second layer as wide as the first; got the widths "
            f"{[block.units for block in layers]}. Leave `residual` out or change the widths."
        )
    return layers


def layer_cells(cell: Any, depth: int | None) -> list[Any]:
    """Returns the cell of each of `depth` layers, or its name, the lowest layer first.

    Raises:
        ValueError: If the number of cells is not the depth, or two layers would share a cell.
    """
    if _is_list(cell):
        if not cell or depth not in (None, len(cell)):
            raise ValueError(
                f"`cell` must hold one cell per layer; got {len(cell)} cells, depth={depth!r}."
            )
        unnamed = [id(layer_cell) for layer_cell in cell if not isinstance(layer_cell, str)]
        if len(set(unnamed)) < len(unnamed):
            raise ValueError(
                "Layers do not share one cell; `cell` holds the same cell twice. Make a cell for "
                "each layer."
            )
        return list(cell)
    if isinstance(cell, str) or depth in (None, 1):
        return [cell] * (depth or 1)
    raise ValueError(
        "Layers do not share one cell: give a list with one cell per layer; got one "
        f"{type(cell).__name__}, depth={depth!r}."
    )


def _width(cell: Any, units: int | None, both: bool) -> int:
    """Returns the width of a layer's outputs, twice the cell's width if `both` directions run."""
    width = (units or 0) if isinstance(cell, str) else cell_width(cell)
    return width * (2 if both else 1)


def check_stack(
    vocabulary_size: int, embedding_size: int, units: int | None, depth: int | None, cell: Any
) -> None:
    """Checks the arguments that the recurrent stacks of `Encoder` and `Decoder` have in common.

    Raises:
        ValueError: If a size is not a positive integer, no cell has a given name, or `units` and
            the cells contradict each other.
        TypeError: If a cell is neither a name nor a Keras RNN cell.
    """
    check_size("vocabulary_size", vocabulary_size)
    check_size("embedding_size", embedding_size)
    cells = cell if _is_list(cell) else [cell]
    for layer_cell in cells:
        if not isinstance(layer_cell, str):
            check_cell(layer_cell)
        elif layer_cell not in CELLS:
            raise ValueError(
                f"`cell` must be one of {', '.join(map(repr, CELLS))}, a Keras RNN cell or a list "
                f"of these; got cell={layer_cell!r}."
            )
    if any(isinstance(layer_cell, str) for layer_cell in cells):
        check_size("units", units)
    elif units is not None:
        raise ValueError(
            f"Keras cells have widths of their own: leave `units` out; got units={units!r}."
        )
    if depth is not None:
        check_size("depth", depth)


def serialized_cell(cell: Any) -> Any:
    """Returns the configuration of a `cell` argument: a name, a Keras cell or a list of these."""
    if _is_list(cell):
        return [serialized_cell(layer_cell) for layer_cell in cell]
    return cell if isinstance(cell, str) else keras.saving.serialize_keras_object(cell)


def deserialized_cell(config: Any) -> Any:
    """Returns the `cell` argument from which `serialized_cell` made this configuration."""
    if _is_list(config):
        return [deserialized_cell(cell_config) for cell_config in config]
    return config if isinstance(config, str) else keras.saving.deserialize_keras_object(config)


def _is_list(cell: Any) -> bool:
    return isinstance(cell, (list, tuple))
