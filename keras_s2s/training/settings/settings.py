"""The settings of a training run, in one record that checks itself when it is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keras_s2s.data.reading import group_references, read_pairs
from keras_s2s.training.settings.choices import FilePath
from keras_s2s.training.settings.consistency import check_together
from keras_s2s.training.settings.declaration import declared, documented
from keras_s2s.training.settings.fields import SettingFields

# SentencePiece needs a size. Other vocabularies default to everything that occurs.
SUBWORD_VOCABULARY = 8000


@documented
@dataclass(frozen=True, kw_only=True)
class TrainingSettings(SettingFields):
    """A record of everything that decides the result of a training run.

    The training text is either `source` and `target`, two files in which line n of one belongs to
    line n of the other, or `data`, one file of `source<TAB>target` lines. The validation text is
    given in the same way. No file is read before `train` is called.

    A setting that is None becomes the value that the training uses, and a path becomes a string.
    `dataclasses.asdict` therefore gives a full record, and `TrainingSettings(**record)` repeats the
    run.

    Each setting is a field of `SettingFields`, with its type, range, default and explanation. A
    number outside its range is refused, not adjusted.

    Raises:
        ValueError: If a value is out of its range or not one of its choices, or if two settings
            exclude each other.
        TypeError: If a value has another type than its setting.

    Example:
    >>> settings = TrainingSettings(
    ...     output="en-de", data="train.tsv", val_data="validation.tsv", units=256
    ... )
    >>> settings.batch_tokens, settings.target_tokenizer
    (4096, 'unigram')
    >>> TrainingSettings(output="en-de", data="train.tsv", val_data="validation.tsv", dropout=1.5)
    Traceback (most recent call last):
    ValueError: `dropout` must be at least 0 and below 1; got 1.5.
    """

    def __post_init__(self) -> None:
        for name, setting in declared(type(self)).items():
            object.__setattr__(self, name, setting.checked(getattr(self, name)))
        _check_files("training", "", self.source, self.target, self.data)
        _check_files("validation", "val_", self.val_source, self.val_target, self.val_data)
        self._resolve()
        check_together(self)

    def _resolve(self) -> None:
        """Replaces None by the value that it stands for, so that the record is complete."""
        resolved: dict[str, Any] = {
            "target_tokenizer": self.target_tokenizer or self.source_tokenizer
        }
        if self.target_word_dropout is None:
            resolved["target_word_dropout"] = self.word_dropout
        source_size, target_size = self.source_vocabulary_size, self.target_vocabulary_size
        if source_size is None and self.source_tokenizer in ("unigram", "bpe"):
            source_size = SUBWORD_VOCABULARY
        if target_size is None:
            if resolved["target_tokenizer"] == self.source_tokenizer:
                target_size = source_size
            elif resolved["target_tokenizer"] in ("unigram", "bpe"):
                target_size = SUBWORD_VOCABULARY
        resolved["source_vocabulary_size"] = source_size
        resolved["target_vocabulary_size"] = target_size
        if self.batch_size is None and self.batch_tokens is None:
            resolved["batch_tokens"] = 4096
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    @property
    def encoder_units(self) -> int:
        """Units of one direction of the encoder."""
        return self.units // 2 if self.bidirectional else self.units

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Reads the training pairs, from the start at each call."""
        return read_pairs(self.source, self.target, self.data)

    def validation_references(self) -> tuple[list[str], list[list[str]]]:
        """Reads the different validation sources, and the references of each source."""
        return group_references(self.validation_pairs())

    def validation_pairs(self) -> Iterator[tuple[str, str]]:
        """Reads the validation pairs, from the start at each call."""
        return read_pairs(self.val_source, self.val_target, self.val_data)


def _check_files(
    purpose: str,
    prefix: str,
    source: FilePath | None,
    target: FilePath | None,
    data: FilePath | None,
) -> None:
    """Raises ValueError unless a text is given in exactly one of its two forms."""
    two_files, one_file = source is not None and target is not None, data is not None
    half_given = (source is None) != (target is None)
    if two_files == one_file or half_given:
        names = [
            f"`{prefix}{name}`"
            for name, value in (("source", source), ("target", target), ("data", data))
            if value is not None
        ]
        raise ValueError(
            f"The {purpose} text is two files (`{prefix}source` and `{prefix}target`) or one TSV "
            f"(`{prefix}data`); got {', '.join(names) or 'none of these files'}."
        )


# The settings that name a file to read.
FILES = tuple(name for name, setting in declared(TrainingSettings).items() if setting.is_file)
# The settings that decide how a vocabulary is made.
VOCABULARY = tuple(
    name for name, setting in declared(TrainingSettings).items() if setting.makes_vocabulary
)
