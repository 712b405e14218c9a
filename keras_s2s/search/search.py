"""The base class of all kinds of search, with their shared settings and the call that runs one.

The kinds are in `greedy.py`, `beam.py`, `diverse.py`, `sampling.py` and `tfa/`. This module does
not import them, because they register themselves in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_s2s.search import loop, registry
from keras_s2s.search.constraints import phrases, required
from keras_s2s.search.constraints.controls import controlled
from keras_s2s.search.request import (
    Line,
    Request,
    checked_lines,
    length_bounds,
    source_lengths,
)
from keras_s2s.search.result import SearchResult, check_if_known, finish
from keras_s2s.search.state.hypotheses import (
    Hypotheses,
    empty_hypotheses,
    end_broken,
    read_result,
)
from keras_s2s.search.state.prediction import Prediction, predict
from keras_s2s.system.checks import check_flags, check_number, check_size

Step = Callable[[Any, Any], tuple[Any, ...]]


class Search:
    """The base of all kinds of search, with the settings and the loop that they share.

    A subclass implements `_advance`, one step of the loop. It also overrides `_best` if its result
    is not simply all rows in their order. A subclass with a name, as in `class BeamSearch(Search,
    name="beam")`, takes part in `like`, which turns another search into this kind when it is given
    settings that only this kind has.

    All lengths count the end token. `S` is the number of real source tokens, end token included.

    Args:
        max_length: longest output of any sentence, and the length `L` of the resulting arrays.
        min_length: least number of tokens of an output, as `b`, or as `(a, b)` for `⌊a·S + b⌋`.
        length_limit: `(a, b)` for a longest output of `⌊a·S + b⌋` tokens, which depends on the
            sentence and stays within `max_length`; None for `max_length` alone.
        allow_unknown: whether the unknown token may be chosen.
        repetition_penalty: a factor `θ ≥ 1` on the log-probabilities of tokens that have appeared
            already; 1 for none. `constraints.controls` explains it.
        no_repeat_ngram: length of token sequences that may not appear twice; 0 allows all.

    Attributes:
        width: number `W` of hypotheses of each sentence during the search.
        n_best: number `N` of hypotheses that are returned for each sentence.

    Raises:
        ValueError: If a setting is out of its range, or `min_length` is above `max_length` or
            above `length_limit` for every source.
    """

    width: int = 1
    n_best: int = 1

    def __init_subclass__(cls, *, name: str | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name is not None:
            registry.SEARCHES[name] = cls

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
        least, most = checked_lines(min_length, length_limit, max_length)
        check_flags(allow_unknown=allow_unknown)
        check_number("repetition_penalty", repetition_penalty, 1)
        if no_repeat_ngram != 0:
            check_size("no_repeat_ngram", no_repeat_ngram)
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
        """Whether the search draws random numbers."""
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
        """Runs the search.

        Args:
            step: `step(tokens (R,), state) -> (logits (R, V), state[, weights (R, S)])`, where `R`
                is the batch size times `width`, and the hypotheses of a sentence are neighbours.
            state: structure of tensors with `batch_size` rows, the state before the first step.
            batch_size: number of sentences `B`, an int or a scalar tensor.
            source_mask: `(B, S)` bool, True at real source tokens. Lengths that depend on the
                source, coverage, and returned attention weights need it.
            keep_weights: whether the result holds attention weights. None keeps them if there is a
                `source_mask`.
            prefix: `(B, P)` int ids that each output begins with, -1 behind the ids of each row.
                They count in lengths and log-probabilities. A graph does not know their number, so
                it cuts a prefix that leaves no room for the end token.
            forbidden: `(B, F, M)` int ids of `F` phrases that may not appear, -1 behind each.
            required: `(B, C, M)` int ids of `C` phrases that must appear, -1 behind each. Only beam
                search takes them.
            noise: `(B, N, L)` float32 uniform in [0, 1), the random numbers of a sampling search.
                If omitted, they are drawn from the seed of the search.
            start_id: the token that the first step reads.
            end_id: the token that ends a hypothesis.
            pad_id: the id that follows the end.
            unknown_id: the token of unknown words.

        Returns:
            A `SearchResult`. The result of a sentence does not depend on the other sentences.

        Raises:
            ValueError: If arguments have wrong shapes or ids, or if they contradict each other.
                Outside a graph, the call also raises it if logits are not finite.
        """
        constraints, highest = phrases.checked(
            {"prefix": prefix, "forbidden": forbidden, "required": required},
            batch_size,
            self.max_length,
            end_id,
            None if self.allow_unknown else unknown_id,
        )
        request = Request(
            batch_size=batch_size,
            width=self.width,
            source_mask=source_mask,
            noise=noise,
            start_id=start_id,
            end_id=end_id,
            pad_id=pad_id,
            unknown_id=unknown_id,
            **constraints,
        )
        request = self._with_lengths(request)
        request = request._replace(noise=self._noise(request))
        if keep_weights is None:
            keep_weights = source_mask is not None
        if keep_weights and source_mask is None:
            raise ValueError(
                "`keep_weights` needs `source_mask` (B, S); got None. Pass a mask, or "
                "keep_weights=False."
            )
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
        """Checks prefixes and phrases before a call.

        Args:
            known: arrays by the names of the arguments of a call.
            end_id: the token that ends a hypothesis.
            unknown_id: the token of unknown words.
            vocabulary_size: number of logits.

        Raises:
            ValueError: If the search cannot take these prefixes and phrases.
        """
        refused_id = None if self.allow_unknown else unknown_id
        highest = phrases.check(known, self.max_length, end_id, refused_id)
        self.check_vocabulary(vocabulary_size, end_id, highest)

    def check_vocabulary(self, size: Any, end_id: int, highest: int = -1) -> None:
        """Checks special ids, phrases and `width` against the number of logits.

        Args:
            size: number of logits; in a graph it may be a tensor, which is not checked.
            end_id: the token that ends a hypothesis.
            highest: the highest id of prefixes and phrases.

        Raises:
            ValueError: If an id is not below `size`, or `width` is above it.
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
        """Returns this search with some settings changed.

        The result is of the same kind if this kind has all the settings that are given. Otherwise
        it is of the named kind with the fewest settings that has them all. The settings that both
        kinds share keep their values. So `width`, `n_best` or `length_penalty` turn a greedy search
        into a beam search, and `top_k` turns either into a sampling search.

        Args:
            **changes: settings by name; None leaves a setting as it is.

        Raises:
            ValueError: If no kind of search has all these settings, or if one of them is out of its
                range.

        Example:
        >>> search = GreedySearch(max_length=20).like(width=4)
        >>> type(search).__name__, search.width, search.max_length
        ('BeamSearch', 4, 20)
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        kind: type[Search] = registry.kind_with(changes, first=type(self))
        shared = set(registry.settings_of(kind)) & set(registry.settings_of(type(self)))
        return kind(**{**{name: getattr(self, name) for name in shared}, **changes})

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments from which `from_config` makes an equal search."""
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
        """Makes the search that `get_config` described."""
        return cls(**config)

    def _advance(
        self, t: Any, hypotheses: Hypotheses, prediction: Prediction, request: Request
    ) -> Hypotheses:
        """Runs one step: chooses tokens and appends them."""
        raise NotImplementedError

    def _best(self, end: Hypotheses, request: Request) -> tuple[SearchResult, Any]:
        """Returns the result of the loop, here with all rows, and `broken` `(B, 1)`."""
        rows = ops.arange(request.rows, dtype="int32")
        result = read_result(end, rows, end.totals, request, self.n_best)
        return result, request.by_sentence(end.broken)[:, :1]

    def _with_lengths(self, request: Request) -> Request:
        """Returns the request with the lengths of sources and the bounds of outputs."""
        mask, lengths, sizes = request.source_mask, None, None
        if mask is not None:
            mask = ops.cast(mask, "bool")
            lengths = source_lengths(mask)
        elif self.needs_source:
            raise ValueError(
                f"This {type(self).__name__} depends on the source (lengths a·S + b, or coverage): "
                "pass `source_mask` (B, S); got None."
            )
        if request.prefix is not None:
            sizes = phrases.sizes(request.prefix)[:, None]
        shortest, longest = length_bounds(
            self.min_length, self.length_limit, self.max_length, lengths, request.batch_size, sizes
        )
        return request._replace(
            source_mask=mask, source_lengths=lengths, shortest=shortest, longest=longest
        )

    def _noise(self, request: Request) -> Any:
        if request.noise is not None:
            raise ValueError(f"`noise` is for SamplingSearch; {type(self).__name__} draws nothing.")
        return None

    def _start(self, state: Any, request: Request, keep_weights: bool) -> Hypotheses:
        """Returns the hypotheses before the first step."""
        met: Any = ()
        if request.required is not None:
            met = request.by_row(required.unmet(request.required))
        return empty_hypotheses(
            state,
            request,
            self.max_length,
            met,
            keep_weights=keep_weights,
            keep_coverage=self.needs_weights,
            keep_said=self._looks_back(request),
            keep_parents=self.width > 1 and not self.needs_noise,
        )

    def _looks_back(self, request: Request) -> bool:
        """Whether constraints look back at the tokens of a hypothesis."""
        return self._controls(request) or request.required is not None

    def _controls(self, request: Request) -> bool:
        """Whether the search chooses by logits that differ from the model's."""
        by_settings = self.repetition_penalty != 1 or self.no_repeat_ngram > 0
        return by_settings or request.forbidden is not None

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
        prediction = predict(logits, weights[0] if keeps else ())
        if not self._controls(request):
            return prediction
        forbidden = request.forbidden
        values = controlled(
            prediction.logits,
            prediction.normalizer,
            hypotheses.said,
            t,
            forbidden=None if forbidden is None else request.by_row(forbidden),
            repetition_penalty=self.repetition_penalty,
            no_repeat_ngram=self.no_repeat_ngram,
        )
        return prediction._replace(values=values)

    def _fan_out(self) -> int:
        """Returns the number of different tokens that may have to continue one hypothesis."""
        return 1
