"""The precisions that training may compute in, and the conversion back to float32."""

from __future__ import annotations

from typing import Any

# Keras' dtype policy for each value of `TrainingSettings.precision`. Weights always stay float32.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_MIXED = ("mixed_bfloat16", "mixed_float16")


def unmixed(config: Any) -> Any:
    """Replaces mixed dtype policies by `float32` in the configuration of a Keras object.

    Args:
        config: a configuration as `get_config` returns it, which is not changed.

    Returns:
        A configuration of the same object that computes in the dtype of its weights.
    """
    if isinstance(config, dict):
        return {key: unmixed(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(unmixed(value) for value in config)
    return "float32" if config in _MIXED else config
