"""Tokenises parallel text and filters out the pairs that training cannot use, counting them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from keras_s2s.data.reading import CorpusError, has_text
from keras_s2s.system.checks import check_whole

if TYPE_CHECKING:
    from keras_s2s.text import Tokenizer

# Number of pairs that the tokenizers get at once. It is large enough for their batch interface to
# pay, and the text takes only a few MB.
_CHUNK = 4096


@dataclass(frozen=True)
class CorpusReport:
    """The numbers of pairs that were read, left out and kept. Lengths include the end ids.

    Attributes:
        pairs_read: number of all pairs, the sum of `empty`, `too_long` and `kept`.
        empty: number of pairs with an empty side, which is only white space or gets no ids from its
            tokenizer.
        too_long: number of pairs with a side above its length limit.
        kept: number of pairs in the corpus.
        source_tokens: number of ids in the kept sources.
        target_tokens: number of ids in the kept targets.
        longest_source: number of ids in the longest kept source.
        longest_target: number of ids in the longest kept target.
    """

    pairs_read: int
    empty: int
    too_long: int
    kept: int
    source_tokens: int
    target_tokens: int
    longest_source: int
    longest_target: int

    def __str__(self) -> str:
        return (
            f"{self.kept:,} of {self.pairs_read:,} pairs kept ({self.empty:,} empty, "
            f"{self.too_long:,} too long); {self.source_tokens:,} source and "
            f"{self.target_tokens:,} target tokens; longest {self.longest_source:,} and "
            f"{self.longest_target:,}"
        )


class TokenizedPair(NamedTuple):
    """A pair of sentences as texts and as ids without special ids."""

    source_text: str
    target_text: str
    source_ids: list[int]
    target_ids: list[int]


class PairFilter:
    """Tokenises pairs of sentences, leaves out empty and too long ones, and counts all of them.

    Args:
        source_tokenizer: tokenizer that encodes the sources.
        target_tokenizer: tokenizer that encodes the targets.
        max_source_length: number of ids, end id included, in the longest source that passes; None
            for no limit.
        max_target_length: the same limit for the targets.

    Raises:
        ValueError: If a limit is below 2, into which no sentence and its end id fit.
        TypeError: If a limit is not a whole number.
    """

    def __init__(
        self,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        *,
        max_source_length: int | None,
        max_target_length: int | None,
    ) -> None:
        self.source = _Side(source_tokenizer, "max_source_length", max_source_length)
        self.target = _Side(target_tokenizer, "max_target_length", max_target_length)
        self._read = self._empty = self._too_long = self._kept = 0

    def passing(self, pairs: Iterable[tuple[str, str]]) -> Iterator[TokenizedPair]:
        """Iterates over the pairs that pass the filter. The text of one chunk is in memory."""
        remaining = iter(pairs)
        while chunk := list(islice(remaining, _CHUNK)):
            texts = [pair for pair in chunk if has_text(*pair)]
            self._read += len(chunk)
            self._empty += len(chunk) - len(texts)
            sources = self.source.tokenizer.encode([source for source, _ in texts])
            targets = self.target.tokenizer.encode([target for _, target in texts])
            for text, source, target in zip(texts, sources, targets, strict=True):
                if len(source) == 0 or len(target) == 0:
                    self._empty += 1
                    continue
                source_fits, target_fits = self.source.fits(source), self.target.fits(target)
                if not (source_fits and target_fits):
                    self._too_long += 1
                    continue
                self._kept += 1
                self.source.count(source)
                self.target.count(target)
                yield TokenizedPair(*text, source, target)

    def report(self) -> CorpusReport:
        """Returns the counts of all pairs read so far.

        Raises:
            CorpusError: If no pair has passed. The message says what left out all of them.
        """
        if self._read == self._empty:
            raise CorpusError(
                f"No pair is left: none of the {self._read:,} pairs read has text on both sides. "
                "Expected at least one pair of sentences."
            )
        source, target = self.source, self.target
        if not self._kept:
            raise CorpusError(
                f"No pair is left: all {self._too_long:,} pairs with text are longer than "
                f"{source.limit_in_words()} or {target.limit_in_words()}. "
                f"In ids, end id included, sources have {source.shortest} to {source.longest} and "
                f"targets {target.shortest} to {target.longest}. Raise the limits."
            )
        return CorpusReport(
            pairs_read=self._read,
            empty=self._empty,
            too_long=self._too_long,
            kept=self._kept,
            source_tokens=source.tokens,
            target_tokens=target.tokens,
            longest_source=source.longest_kept,
            longest_target=target.longest_kept,
        )


class _Side:
    """The tokenizer, the length limit and the lengths so far of one side, end ids included."""

    def __init__(self, tokenizer: Tokenizer, limit_name: str, limit: int | None) -> None:
        if limit is not None:
            check_whole(limit_name, limit, least=2)
        self.tokenizer = tokenizer
        self.limit: float = math.inf if limit is None else limit
        self._limit_name = limit_name
        self.shortest, self.longest = math.inf, 0  # of all texts
        self.tokens, self.longest_kept = 0, 0  # of the texts that passed the filter

    def fits(self, ids: list[int]) -> bool:
        """Measures a text and returns whether it is within the limit."""
        length = len(ids) + 1
        self.shortest = min(self.shortest, length)
        self.longest = max(self.longest, length)
        return length <= self.limit

    def count(self, ids: list[int]) -> None:
        """Counts the ids of a text that passed the filter."""
        self.tokens += len(ids) + 1
        self.longest_kept = max(self.longest_kept, len(ids) + 1)

    def limit_in_words(self) -> str:
        return f"{self._limit_name}={None if self.limit == math.inf else self.limit}"
