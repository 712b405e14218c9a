"""What every search shares: its settings, how it begins, and how its result is read.

`greedy`, `beam`, `diverse` and `sampling` hold the searches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_s2s.checks import check_flags, check_number, check_size
from keras_s2s.search import loop, phrases, required
from keras_s2s.search.controls import controlled
from keras_s2s.search.history import blank, read
from keras_s2s.search.hypotheses import Hypotheses, end_broken
from keras_s2s.search.prediction import Prediction
from keras_s2s.search.request import Line, Request, length_on, line_of, source_lengths
from keras_s2s.search.result import (
    IMPOSSIBLE,
    SearchResult,
    check_if_known,
    finish,
    is_real,
)

Step = Callable[[Any, Any], tuple[Any, ...]]


class Search:
    """Settings and loop of all searches. Use a subclass.

    Lengths count the end token; `S` is the number of real source tokens, the end token counted.

    Args:
        max_length: longest output of any sentence, and the length `L` of the arrays.
        min_length: tokens that an output has at least: `b`, or `(a, b)` for `⌊a·S + b⌋`.
        length_limit: `(a, b)`: a sentence's own longest output, `⌊a·S + b⌋` within `max_length`;
            None for no other limit than that.
        allow_unknown: whether the unknown token may be chosen.
        repetition_penalty: `θ ≥ 1`, see `controls.controlled`; 1 for none.
        no_repeat_ngram: length of token sequences that may not appear twice; 0 for none.

    Attributes:
        width: hypotheses per sentence while searching, `W`.
        n_best: hypotheses per sentence returned, `N`.
    """

    width: int = 1
    n_best: int = 1

    def __init__(
        self,
        max_length: int = 100,
        *,
        min_length: int | Line = 0,
        length_limit: Line | None = None,
        allow_unknown: bool = True,
        repetition_penalty: float = 1.0,
        no_repeat_ngram: int = 0,
    ) -> None:
        check_size("max_length", max_length)
        least = line_of("min_length", min_length)
        if least[0] == 0 and least[1] > max_length:
            raise ValueError(
                f"`min_length` must be at most `max_length`; got min_length={min_length!r}, "
                f"max_length={max_length}."
            )
        check_flags(allow_unknown=allow_unknown)
        check_number("repetition_penalty", repetition_penalty, 1)
        if no_repeat_ngram != 0:
            check_size("no_repeat_ngram", no_repeat_ngram)
        most = None if length_limit is None else line_of("length_limit", length_limit)
        # At every S ≥ 1; what crosses further on gives way to the limit.
        if most is not None and least[0] >= most[0] and sum(least) >= sum(most) + 1:
            raise ValueError(
                "`min_length` must not be above `length_limit` for every source; got "
                f"min_length={min_length!r}, length_limit={length_limit!r}."
            )
        self.max_length = max_length
        self.min_length = least
        self.length_limit = most
        self.allow_unknown = allow_unknown
        self.repetition_penalty = float(repetition_penalty)
        self.no_repeat_ngram = no_repeat_ngram

    @property
    def needs_weights(self) -> bool:
        """Whether the search itself reads attention weights."""
        return False

    @property
    def needs_source(self) -> bool:
        """Whether the search reads the source mask."""
        lines = [self.min_length, self.length_limit or (0.0, 0.0)]
        return self.needs_weights or any(factor > 0 for factor, _ in lines)

    @property
    def needs_noise(self) -> bool:
        """Whether the search draws."""
        return False

    def __call__(
        self,
        step: Step,
        state: Any,
        *,
        batch_size: Any,
        source_mask: Any = None,
        keep_weights: bool | None = None,
        prefix: Any = None,
        forbidden: Any = None,
        required: Any = None,
        noise: Any = None,
        start_id: int = 2,
        end_id: int = 3,
        pad_id: int = 0,
        unknown_id: int = 1,
    ) -> SearchResult:
        """Searches.

        Args:
            step: `step(tokens (N,), state) -> (logits (N, V), state[, weights (N, S)])`. `N` is the
                batch size times `width`, the hypotheses of a sentence in a row.
            state: structure of tensors with `batch_size` rows, the state before the first step.
            batch_size: number of sentences, int or scalar tensor.
            source_mask: `(B, S)` bool, True at real source tokens: for lengths that depend on the
                source, for coverage, and to keep the weights the step gives.
            keep_weights: False to keep none although there is a `source_mask`.
            prefix: `(B, P)` ids that each output begins with, -1 behind those of a row. They count
                in lengths and log-probabilities. One that leaves no room for the end is an error,
                and is cut where a graph cannot know.
            forbidden: `(B, F, M)` ids: `F` phrases that may not appear, -1 behind each.
            required: `(B, C, M)` ids: `C` phrases that must appear (beam search), -1 behind each.
            noise: `(B, N, L)` float32 uniform in [0, 1), what a sampling search draws by; drawn
                from its seed when omitted.
            start_id: the token the first step reads.
            end_id: the token that ends a hypothesis.
            pad_id: what follows the end.
            unknown_id: the token of unknown words.

        Returns:
            A `SearchResult`. A sentence's part of it does not depend on the other sentences.

        Raises:
            ValueError: arguments that cannot be; called with values and not within a graph, also
                logits that are not finite.
        """
        given, highest = phrases.checked(
            {"prefix": prefix, "forbidden": forbidden, "required": required},
            batch_size,
            self.max_length,
            end_id,
            None if self.allow_unknown else unknown_id,
        )
        request = self._request(
            batch_size, source_mask, given, noise, start_id, end_id, pad_id, unknown_id
        )
        request = request._replace(noise=self._noise(request))
        if keep_weights is None:
            keep_weights = source_mask is not None
        if keep_weights and source_mask is None:
            raise ValueError("`keep_weights` needs `source_mask` (B, S); got None.")
        start = self._start(state, request, keep_weights)

        def advance(t: Any, hypotheses: Hypotheses) -> Hypotheses:
            logits, state, *weights = step(hypotheses.tokens, hypotheses.state)
            self.check_vocabulary(ops.shape(logits)[-1], end_id, highest)
            prediction = self._predict(logits, weights, hypotheses, t, request)
            hypotheses = end_broken(hypotheses._replace(state=state), prediction, t, request)
            return self._advance(t, hypotheses, prediction, request)

        _, end = loop.run(advance, start, self.max_length)
        return check_if_known(finish(*self._best(end, request), pad_id))

    def check_phrases(
        self, known: dict[str, Any], end_id: int, unknown_id: int, vocabulary_size: int
    ) -> None:
        """Raises ValueError for prefixes and phrases that the search cannot take.

        Args:
            known: arrays by the names of the arguments.
            end_id: the token that ends a hypothesis.
            unknown_id: the token of unknown words.
            vocabulary_size: number of logits.
        """
        refused_id = None if self.allow_unknown else unknown_id
        highest = phrases.check(known, self.max_length, end_id, refused_id)
        self.check_vocabulary(vocabulary_size, end_id, highest)

    def check_vocabulary(self, size: Any, end_id: int, highest: int = -1) -> None:
        """Raises ValueError for what does not go with `size` logits, where that is known.

        Args:
            size: number of logits; in a graph it may be a tensor.
            end_id: the token that ends a hypothesis.
            highest: the highest id of prefixes and phrases.
        """
        if not isinstance(size, int):
            return
        if not 0 <= end_id < size:
            raise ValueError(
                f"`end_id` must be an id below the {size} logits; got end_id={end_id}."
            )
        if self._fan_out() > size:
            raise ValueError(
                f"`width` must be at most the number of logits, {size}: an output cannot begin in "
                f"more ways than there are tokens; got width={self.width}."
            )
        if highest >= size:
            raise ValueError(
                f"Prefixes and phrases must hold ids below the {size} logits; got {highest}."
            )

    def like(self, **changes: Any) -> Search:
        """The same search with other settings, by name; what is None stays.

        A `width`, `n_best` or `length_penalty` makes a beam search of a greedy one; a `width` of 1
        alone makes a greedy search of a beam.
        """
        from keras_s2s.search.alteration import altered  # it imports the subclasses

        return altered(self, {k: v for k, v in changes.items() if v is not None})

    def get_config(self) -> dict[str, Any]:
        return {
            "max_length": self.max_length,
            "min_length": self.min_length,
            "length_limit": self.length_limit,
            "allow_unknown": self.allow_unknown,
            "repetition_penalty": self.repetition_penalty,
            "no_repeat_ngram": self.no_repeat_ngram,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Search:
        return cls(**config)

    def _advance(
        self, t: Any, hypotheses: Hypotheses, prediction: Prediction, request: Request
    ) -> Hypotheses:
        """One step: chooses tokens and appends them."""
        raise NotImplementedError

    def _best(self, end: Hypotheses, request: Request) -> tuple[SearchResult, Any]:
        """The result of the loop, and `broken` `(B, 1)`. Here: every row, in its place."""
        rows = ops.arange(request.rows, dtype="int32")
        return self._read(end, rows, end.totals, request), request.by_sentence(end.broken)[:, :1]

    def _read(self, end: Hypotheses, rows: Any, scores: Any, request: Request) -> SearchResult:
        """The hypotheses that ended in `rows`, as many for each sentence; `scores` are theirs."""
        found = read(end.history, rows)
        satisfied = ops.ones_like(rows, dtype="bool")
        if not isinstance(end.met, tuple):
            satisfied = ops.take(ops.all(end.met, axis=-1), rows, axis=0)
        flat = SearchResult(
            ids=found.tokens,
            lengths=ops.take(end.lengths, rows, axis=0),
            log_probs=ops.take(
                ops.where(is_real(end.totals), end.log_probs, IMPOSSIBLE), rows, axis=0
            ),
            scores=scores,
            weights=found.weights,
            token_log_probs=found.log_probs,
            satisfied=satisfied,
        )
        per_sentence = request._replace(width=self.n_best)
        return keras.tree.map_structure(per_sentence.by_sentence, flat)

    def _request(
        self,
        batch_size: Any,
        source_mask: Any,
        given: dict[str, Any],
        noise: Any,
        start_id: int,
        end_id: int,
        pad_id: int,
        unknown_id: int,
    ) -> Request:
        lengths = None
        if source_mask is not None:
            source_mask = ops.cast(source_mask, "bool")
            lengths = source_lengths(source_mask)
        elif self.needs_source:
            raise ValueError(
                f"This {type(self).__name__} depends on the source (lengths a·S + b, or coverage): "
                "pass `source_mask` (B, S); got None."
            )
        longest = ops.full((batch_size, 1), self.max_length, dtype="int32")
        if self.length_limit is not None:
            longest = ops.clip(length_on(self.length_limit, lengths, batch_size), 1, longest)
        if given["prefix"] is not None:  # it and the end token fit, whatever the sentence's limit
            sizes = phrases.sizes(given["prefix"])[:, None]
            longest = ops.clip(sizes + 1, longest, self.max_length)
        shortest = None
        if self.min_length != (0.0, 0.0):
            shortest = length_on(self.min_length, lengths, batch_size)
            shortest = ops.minimum(shortest, longest)
        return Request(
            batch_size=batch_size,
            width=self.width,
            source_mask=source_mask,
            source_lengths=lengths,
            shortest=shortest,
            longest=longest,
            noise=noise,
            start_id=start_id,
            end_id=end_id,
            pad_id=pad_id,
            unknown_id=unknown_id,
            **given,
        )

    def _noise(self, request: Request) -> Any:
        if request.noise is not None:
            raise ValueError(f"`noise` is for SamplingSearch; {type(self).__name__} draws nothing.")
        return None

    def _start(self, state: Any, request: Request, keep_weights: bool) -> Hypotheses:
        rows, mask = request.rows, request.source_mask
        source_length = None if mask is None else ops.shape(mask)[1]
        zeros = ops.zeros((rows,), dtype="float32")
        coverage: Any = ()
        if self.needs_weights:
            coverage = ops.zeros((rows, source_length), dtype="float32")
        said: Any = ()
        if self._looks_back(request):
            said = ops.full((rows, self.max_length), -1, dtype="int32")
        met: Any = ()
        if request.required is not None:
            met = request.by_row(required.unmet(request.required))
        return Hypotheses(
            tokens=ops.full((rows,), request.start_id, dtype="int32"),
            lengths=ops.zeros((rows,), dtype="int32"),
            log_probs=zeros,
            totals=zeros,
            finished=ops.zeros((rows,), dtype="bool"),
            broken=ops.full((rows,), -1, dtype="int32"),
            coverage=coverage,
            said=said,
            met=met,
            state=keras.tree.map_structure(request.by_row, state),
            history=blank(
                self.max_length,
                rows,
                request.pad_id,
                source_length if keep_weights else None,
                parents=self.width > 1 and not self.needs_noise,
            ),
        )

    def _looks_back(self, request: Request) -> bool:
        """Whether controls look back at the tokens said."""
        own = self.repetition_penalty != 1 or self.no_repeat_ngram > 0
        return own or request.forbidden is not None or request.required is not None

    def _predict(
        self, logits: Any, weights: list[Any], hypotheses: Hypotheses, t: Any, request: Request
    ) -> Prediction:
        keeps = not isinstance(hypotheses.history.weights, tuple) or self.needs_weights
        if keeps and not weights:
            raise ValueError(
                "The search is to keep or read attention weights, but the step returned none. Let "
                "it return (logits, state, weights), or search with keep_weights=False and without "
                "a coverage penalty."
            )
        logits = ops.cast(logits, "float32")
        normalizer = ops.logsumexp(logits, axis=-1, keepdims=True)
        values: Any = ()
        if self.repetition_penalty != 1 or self.no_repeat_ngram or request.forbidden is not None:
            forbidden = request.forbidden
            values = controlled(
                logits,
                normalizer,
                hypotheses.said,
                t,
                forbidden=None if forbidden is None else request.by_row(forbidden),
                repetition_penalty=self.repetition_penalty,
                no_repeat_ngram=self.no_repeat_ngram,
            )
        return Prediction(
            logits, normalizer, values, ops.cast(weights[0], "float32") if keeps else ()
        )

    def _fan_out(self) -> int:
        """Tokens that one hypothesis may have to be continued with."""
        return 1
