"""What a file says about its origin: versions, special ids, lengths, search, tokenizers."""

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
    """Settings as JSON types.

    Args:
        translator: what is exported.
        search: the search inside the graph.
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
    """Class and options of a search."""
    described = keras.saving.serialize_keras_object(search)
    return {"kind": described["class_name"], **_plain(described["config"])}


def tokenizer_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    """Class, size and a SHA-256 of the whole configuration, which tells two tokenizers apart.

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


def _plain(config: Any) -> Any:
    """Serialized objects inside a configuration as their class and options."""
    if isinstance(config, dict) and {"class_name", "config"} <= set(config):
        return {"kind": config["class_name"], **_plain(config["config"])}
    if isinstance(config, dict):
        return {name: _plain(value) for name, value in config.items()}
    return config
