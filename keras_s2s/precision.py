"""The numbers a training computes in, and the way back to whole ones."""

from __future__ import annotations

from typing import Any

from keras_s2s.translator import Translator

# What `TrainingSettings.precision` may be, as Keras' policies: weights stay float32 in each.
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def in_variable_dtype(translator: Translator) -> Translator:
    """A copy that computes in the dtype of its weights, where it was trained in mixed precision.

    Mixed precision pays in training; a translator is decoded and exported in float32, so that no
    output hangs on how a machine rounds bfloat16.

    Args:
        translator: any; it is not changed.

    Returns:
        What `translator.copy` gives, with `mixed_bfloat16` and `mixed_float16` policies replaced by
        `float32` and others as they are.
    """
    model = translator.model
    whole = type(model).from_config(_unmixed(model.get_config()))
    whole.build()
    whole.set_weights(model.get_weights())
    return translator.with_model(whole)


def _unmixed(config: Any) -> Any:
    """A configuration with every mixed dtype policy replaced."""
    if isinstance(config, dict):
        return {key: _unmixed(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_unmixed(value) for value in config)
    return "float32" if config in ("mixed_bfloat16", "mixed_float16") else config
