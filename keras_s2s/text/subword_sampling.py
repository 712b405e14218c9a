"""Subword regularisation: another segmentation of the same text every time, by a seed.

SentencePiece draws too, but mixes its seed with a number of the process (0.2.3), so no run could be
repeated, or taken up again, with it. What is drawn here is the same in every process.
"""

from __future__ import annotations

import heapq
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.tokenizer import Tokenizer, valid_text

SPACE = "▁"
_WORD = re.compile(f"{SPACE}?[^{SPACE}]+|{SPACE}")


@dataclass(frozen=True)
class SubwordSampling:
    """How to draw segmentations from a SentencePiece model: training sees many of each word.

    Of a unigram model (Kudo 2018, subword regularisation), a segmentation x of a text has the
    probability

    ```
    P(x)^α / Σ_x' P(x')^α      over all segmentations
    ```

    drawn exactly, by forward filtering and backward sampling. Of a bpe model (Provilkov et al.
    2020, BPE-dropout), every merge that comes up is left out with probability α.

    Attributes:
        alpha: α, from 0 to 1. Of unigram, the lower the more varied, and the longer: 0.2 to 0.5 are
            in use; of bpe, the higher: 0.1.

    Raises:
        ValueError: a number out of its range.
        TypeError: something else than a number.

    Example:
    >>> from keras_s2s.text import train_tokenizer
    >>> tokenizer = train_tokenizer("bpe", ["low lower lowest"] * 9, 16)
    >>> drawn = SubwordSampling(0.5).sampler(tokenizer).encode(["lower lowest"] * 8, seed=1)
    >>> len({tuple(ids) for ids in drawn}) > 1, set(tokenizer.decode(drawn))
    (True, {'lower lowest'})
    """

    alpha: float

    def __post_init__(self) -> None:
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float):
            raise TypeError(f"`alpha` must be a number; got {self.alpha!r}.")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"`alpha` must be at least 0 and at most 1; got {self.alpha!r}.")

    def sampler(self, tokenizer: Tokenizer) -> SubwordSampler:
        """What draws from a tokenizer.

        Args:
            tokenizer: a SentencePiece model, unigram or bpe.

        Raises:
            TypeError: another kind of tokenizer.
        """
        if not isinstance(tokenizer, SentencePieceTokenizer):
            raise TypeError(
                "Only SentencePiece models, unigram and bpe, have other segmentations to draw; got "
                f"{type(tokenizer).__name__}."
            )
        kinds = {"bpe": BPESampler, "unigram": UnigramSampler}
        return kinds[tokenizer.kind](tokenizer, self.alpha)


class SubwordSampler:
    """Draws segmentations word by word, and remembers what it worked out for each word.

    Words are what white space parts; a model with pieces across it gets whole texts for words. A
    word that the model gives unknown or special ids for keeps its usual segmentation.

    Args:
        tokenizer: a SentencePiece model.
        alpha: as for `SubwordSampling`.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        processor = tokenizer.processor
        self.processor = processor
        self.alpha = alpha
        self.ids = {
            processor.id_to_piece(i): i
            for i in range(processor.get_piece_size())
            if not (
                processor.is_control(i)
                or processor.is_unknown(i)
                or processor.is_unused(i)
                or processor.is_byte(i)
            )
        }
        self.scores = {i: processor.get_score(i) for i in self.ids.values()}
        self.longest = max(map(len, self.ids), default=1)
        self.across = any(SPACE in piece[1:] for piece in self.ids)

    def encode(self, texts: Sequence[str], *, seed: int) -> list[list[int]]:
        """Drawn ids of each text, without start and end; the same for the same arguments.

        Args:
            texts: strings.
            seed: whole number from 0.
        """
        draw = random.Random(seed)
        rows = []
        for text in texts:
            normal = self.processor.normalize(valid_text(text))
            row: list[int] = []
            for word in [normal] if self.across and normal else _WORD.findall(normal):
                row += self._word(word, draw)
            rows.append(row)
        return rows

    def _word(self, word: str, draw: random.Random) -> Sequence[int]:
        raise NotImplementedError

    def _usual(self, word: str) -> list[int]:
        """The ids that the model gives for a normalised word."""
        ids: list[int] = self.processor.encode(word.replace(SPACE, " "), out_type=int)
        return ids


class UnigramSampler(SubwordSampler):
    """Forward filtering, once for each word; backward sampling, each time.

    ```
    α_j = log Σ_i exp(α_i + α·score(i..j)),  α_0 = 0        over all pieces i..j that end at j
    P(the piece before j begins at i) = exp(α_i + α·score(i..j) − α_j)
    ```
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        super().__init__(tokenizer, alpha)
        # For each word and each of its places: cumulative probability, begin and id of each piece
        # that ends there. None for a word that cannot be made of pieces.
        self._lattices: dict[str, list[list[tuple[float, int, int]]] | None] = {}

    def _word(self, word: str, draw: random.Random) -> Sequence[int]:
        if word not in self._lattices:
            self._lattices[word] = self._lattice(word)
        lattice = self._lattices[word]
        if lattice is None:
            return self._usual(word)
        row = []
        place = len(word)
        while place:
            chance = draw.random()
            # The last one's sum may fall short of 1 by a rounding.
            _, begin, token = next(
                (each for each in lattice[place] if chance < each[0]), lattice[place][-1]
            )
            row.append(token)
            place = begin
        return row[::-1]

    def _lattice(self, word: str) -> list[list[tuple[float, int, int]]] | None:
        sums = [0.0] + [-math.inf] * len(word)
        lattice: list[list[tuple[float, int, int]]] = [[]]
        for end in range(1, len(word) + 1):
            ways = [
                (sums[begin] + self.alpha * self.scores[self.ids[word[begin:end]]], begin, end)
                for begin in range(max(0, end - self.longest), end)
                if sums[begin] > -math.inf and word[begin:end] in self.ids
            ]
            lattice.append([])
            if not ways:
                continue
            top = max(ways)[0]
            total = sum(math.exp(log - top) for log, _, _ in ways)
            sums[end] = top + math.log(total)
            cumulative = 0.0
            for log, begin, _ in ways:
                cumulative += math.exp(log - top) / total
                lattice[end].append((cumulative, begin, self.ids[word[begin:end]]))
        return lattice if sums[-1] > -math.inf else None


class BPESampler(SubwordSampler):
    """BPE-dropout: the model's merges in their order, each left out with probability α.

    A word of n merges keeps its usual segmentation with probability (1 − α)^n. That is drawn first,
    and with it which merge is the first to be left out, so that most words cost one number.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        super().__init__(tokenizer, alpha)
        # For each word its usual ids, and how many merges made them; -1 if they are not by merges.
        self._merged: dict[str, tuple[list[int], int]] = {}

    def _word(self, word: str, draw: random.Random) -> Sequence[int]:
        if word not in self._merged:
            usual = self._usual(word)
            by_merges, count = self._merge(word, None, 0)
            self._merged[word] = usual, count if by_merges == usual else -1
        usual, count = self._merged[word]
        if count <= 0 or self.alpha == 0:
            return usual
        kept = math.inf  # merges before the first one left out
        if self.alpha == 1:
            kept = 0
        elif (chance := draw.random()) > 0:
            kept = math.floor(math.log(chance) / math.log1p(-self.alpha))
        if kept >= count:
            return usual
        return self._merge(word, draw, int(kept))[0]

    def _merge(self, word: str, draw: random.Random | None, kept: int) -> tuple[list[int], int]:
        """Merges a word: ids, and the number of merges.

        Without `draw` nothing is left out. With it, the first `kept` merges are made, the next one
        is left out, and chance decides about those that follow.
        """
        pieces: list[str | None] = list(word)
        before, after = list(range(-1, len(word) - 1)), list(range(1, len(word) + 1))
        queue: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left < 0 or right >= len(pieces):
                return
            joined = f"{pieces[left]}{pieces[right]}"
            if joined in self.ids:
                # The best score first; of equals, the one to the left.
                heapq.heappush(queue, (-self.scores[self.ids[joined]], left, right, joined))

        for place in range(len(word) - 1):
            offer(place, place + 1)
        made = 0
        first = True  # none has been left out
        while queue:
            _, left, right, joined = heapq.heappop(queue)
            if pieces[left] is None or pieces[right] is None:
                continue
            if after[left] != right or f"{pieces[left]}{pieces[right]}" != joined:
                continue
            if draw is not None:
                if first and made == kept:
                    first = False
                    continue
                if not first and draw.random() < self.alpha:
                    continue
            pieces[left], pieces[right] = joined, None
            after[left] = after[right]
            if after[left] < len(pieces):
                before[after[left]] = left
            made += 1
            offer(before[left], left)
            offer(left, after[left])
        found = [piece for piece in pieces if piece is not None]
        if not all(piece in self.ids for piece in found):
            return [], made  # unknown characters: not what the model gives either
        return [self.ids[piece] for piece in found], made
