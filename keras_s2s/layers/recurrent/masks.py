"""Applies recurrent dropout and the padding mask to the state of a recurrence."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_s2s.layers.scan import Tensors


def apply_dropout(x: Any, dropout_mask: Tensors) -> Any:
    """Multiplies `x (…, U)` by the mask of recurrent dropout; () leaves `x` as it is."""
    return x * dropout_mask[0] if dropout_mask else x


def keep_masked(new: Tensors, old: Tensors, masks: Tensors) -> Tensors:
    """Takes the new state where the mask is one and the old state where it is zero.

    Args:
        new: the state after a step, tensors `(B, U)`.
        old: the state before the step, tensors `(B, U)`.
        masks: a tuple of one mask `(B, 1)`, or () where all steps are real.

    Returns:
        Tensors `(B, U)`.
    """
    if not masks:
        return new
    return tuple(
        ops.where(masks[0] > 0, after, before) for after, before in zip(new, old, strict=True)
    )
