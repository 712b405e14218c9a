"""The numbers a training computes in, and the way back to whole ones."""

from __future__ import annotations

from typing import Any

# What `TrainingSettings.precision` may be, as Keras' policies: weights stay float32 in each.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_MIXED = ("mixed_bfloat16", "mixed_float16")


def unmixed(config: Any) -> Any:
    """The configuration of a Keras object with mixed dtype policies replaced by `float32`.

    Args:
        config: what `get_config` gave; it is not changed.

    Returns:
        The same for a model that computes in the dtype of its weights.
    """
    if isinstance(config, dict):
        return {key: unmixed(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(unmixed(value) for value in config)
    return "float32" if config in _MIXED else config
