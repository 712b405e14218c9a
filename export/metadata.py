"""The metadata of an exported file: library version, special ids, lengths, search, tokenizers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras

from keras_s2s.search import Search
from keras_s2s.system.version import __version__
from keras_s2s.text import Tokenizer
from keras_s2s.translation.translator import Translator


def settings_of(translator: Translator, search: Search) -> dict[str, Any]:
    """Returns the settings of an exported graph as JSON types.

    Args:
        translator: the translator to export.
        search: the search inside the graph.

    Returns:
        The library and its version, the special ids, the longest source and target, the search,
        both tokenizers and the number of parameters, by name.
    """
    target = translator.target_tokenizer
    return {
        "library": "keras_s2s",
        "library_version": __version__,
        "pad_id": target.pad_id,
        "unknown_id": target.unknown_id,
        "start_id": target.start_id,
        "end_id": target.end_id,
        "max_source_length": translator.max_source_length,
        "max_target_length": search.max_length,
        "search": search_settings(search),
        "source_tokenizer": tokenizer_settings(translator.source_tokenizer),
        "target_tokenizer": tokenizer_settings(target),
        "parameters": translator.model.count_params(),
    }


def search_settings(search: Search) -> dict[str, Any]:
    """Returns the class of a search, as `kind`, and its options."""
    serialized = keras.saving.serialize_keras_object(search)
    return {"kind": serialized["class_name"], **_without_registration(serialized["config"])}


def tokenizer_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the class, size and SHA-256 of a tokenizer.

    The SHA-256 covers the whole configuration, so it tells two tokenizers apart.

    Example:
        >>> from keras_s2s import CharTokenizer
        >>> settings = tokenizer_settings(CharTokenizer(["a"]))
        >>> settings["kind"], settings["vocabulary_size"]
        ('CharTokenizer', 5)
    """
    config = json.dumps(tokenizer.get_config(), sort_keys=True)
    return {
        "kind": type(tokenizer).__name__,
        "vocabulary_size": tokenizer.vocabulary_size,
        "sha256": hashlib.sha256(config.encode()).hexdigest(),
    }


def _without_registration(config: Any) -> Any:
    """Reduces the serialized objects inside a configuration to their class and options."""
    if isinstance(config, dict) and {"class_name", "config"} <= set(config):
        return {"kind": config["class_name"], **_without_registration(config["config"])}
    if isinstance(config, dict):
        return {name: _without_registration(value) for name, value in config.items()}
    return config
