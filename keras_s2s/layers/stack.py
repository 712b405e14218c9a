"""What encoder and decoder build their recurrent stacks from: sizes, cells and blocks."""

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
    """The layers of a stack, the lowest first.

    A residual connection goes around every layer but the first whose inputs are as wide as its
    outputs.

    Args:
        cell: a name; a Keras RNN cell; or a list of names and cells, one a layer.
        units: width of named cells.
        depth: number of layers; that of the list when omitted, or 1.
        dropout: share of each layer's inputs dropped in training.
        recurrent_dropout: of named cells.
        residual: whether there are residual connections.
        layer_norm: whether outputs of layers are normalised.
        dtype: policy of the layers.
        bidirectional: True, False, or 'first' for the first layer alone.
    """
    cells = layer_cells(cell, depth)
    made: list[RecurrentBlock] = []
    around = False
    for i, each in enumerate(cells):
        both = bidirectional is True or (bidirectional == "first" and i == 0)
        block = RecurrentBlock(
            each,
            units if isinstance(each, str) else None,
            bidirectional=both,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            residual=residual and i > 0 and made[-1].units == _width(each, units, both),
            layer_norm=layer_norm,
            dtype=dtype,
            name=f"block_{i}",
        )
        around = around or block.residual
        made.append(block)
    if residual and not around:
        raise ValueError(
            "`residual` needs a second layer as wide as the first; got the widths "
            f"{[block.units for block in made]}."
        )
    return made


def layer_cells(cell: Any, depth: int | None) -> list[Any]:
    """The cell, or its name, of each of `depth` layers, the lowest first."""
    if isinstance(cell, (list, tuple)):
        if not cell or depth not in (None, len(cell)):
            raise ValueError(
                f"`cell` must hold one cell a layer; got {len(cell)} cells, depth={depth!r}."
            )
        own = [id(each) for each in cell if not isinstance(each, str)]
        if len(set(own)) < len(own):
            raise ValueError("Layers do not share one cell; `cell` holds the same one twice.")
        return list(cell)
    if isinstance(cell, str) or depth in (None, 1):
        return [cell] * (depth or 1)
    raise ValueError(
        "Layers do not share one cell: give a list of cells, one a layer; got one "
        f"{type(cell).__name__}, depth={depth!r}."
    )


def _width(cell: Any, units: int | None, both: bool) -> int:
    width = (units or 0) if isinstance(cell, str) else cell_width(cell)
    return width * (2 if both else 1)


def check_stack(
    vocabulary_size: int, embedding_size: int, units: int | None, depth: int | None, cell: Any
) -> None:
    """Raises ValueError that names the argument of a recurrent stack that cannot work."""
    check_size("vocabulary_size", vocabulary_size)
    check_size("embedding_size", embedding_size)
    cells = cell if _is_list(cell) else [cell]
    named = [each for each in cells if isinstance(each, str)]
    for name in cells:
        if not isinstance(name, str):
            check_cell(name)
        elif name not in CELLS:
            raise ValueError(
                f"`cell` must be one of {', '.join(map(repr, CELLS))}, a Keras RNN cell or a list "
                f"of these; got cell={name!r}."
            )
    if named:
        check_size("units", units)
    elif units is not None:
        raise ValueError(
            f"Keras cells have widths of their own: leave `units` out; got units={units!r}."
        )
    if depth is not None:
        check_size("depth", depth)


def serialized_cell(cell: Any) -> Any:
    """A cell, a name or a list of both, as a configuration."""
    if _is_list(cell):
        return [serialized_cell(each) for each in cell]
    return cell if isinstance(cell, str) else keras.saving.serialize_keras_object(cell)


def deserialized_cell(config: Any) -> Any:
    """What `serialized_cell` was given."""
    if _is_list(config):
        return [deserialized_cell(each) for each in config]
    return config if isinstance(config, str) else keras.saving.deserialize_keras_object(config)


def _is_list(cell: Any) -> bool:
    return isinstance(cell, (list, tuple))
