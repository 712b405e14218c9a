"""Writes beam search as an ONNX loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from onnx.numpy_helper import to_array

from keras_s2s.export.onnx.loops.largest import largest_columns
from keras_s2s.export.onnx.loops.recurrent_products import without_products
from keras_s2s.export.onnx.loops.search import BOOL, FLOAT, INT64, SearchLoop
from keras_s2s.export.onnx.parts import NEW
from keras_s2s.search import BeamSearch
from keras_s2s.search.result import IMPOSSIBLE

WIDEST = 64  # the largest `beam_width` that a caller may ask for


class _Beam(NamedTuple):
    """Names of the values that the search carries from one step to the next.

    Attributes:
        token: the last token of every place, `(B, K)` int64.
        finished: whether nothing can be gained from extending a place, `(B, K)` bool.
        total: log-probability of the hypothesis at every place, `(B, K)` float32.
        score: score of every finished hypothesis, `(B, K)` float32; `IMPOSSIBLE` for others.
        ids: the tokens so far, `(R, t)` int64.
        trail: the row that each hypothesis came from at every step so far, `(R, t)` int64.
    """

    token: str
    finished: str
    total: str
    score: str
    ids: str
    trail: str


_DTYPES = (INT64, BOOL, FLOAT, FLOAT, INT64, INT64)  # of the fields of a `_Beam`


class BeamLoop(SearchLoop):
    """`BeamSearch` with GNMT's length penalty; its width is a value at run time and not a shape.

    Before the first step all hypotheses of a sentence are the same, so the search begins with one
    place for each sentence and has all `K` places from the second step on. The values it carries
    are `(B, K)`, except for the ids so far and the rows that they went through, both `(R, t)`.
    These two are moved when hypotheses change places, which is cheap because they are small. Scores
    of finished hypotheses are kept, so that no lengths are needed; a place without a finished
    hypothesis holds `IMPOSSIBLE`.

    Products of the state alone are computed as soon as hypotheses are chosen, once for each
    distinct hypothesis that they extend; `recurrent_products` explains why.
    """

    def _write(self) -> dict[str, str]:
        body = self.body
        self.step, self.state, self.products = without_products(self.step, self.state)
        self._prepare_widths()
        self._prepare_rows()
        self._prepare_scores()
        self._prepare_length_penalty()

        before = _Beam(*(body.prefix + field for field in _Beam._fields))
        outputs = self._step(body.add("Reshape", [before.token, self.minus]))
        taken = body.add("Add", [body.number, self.one])
        tokens, totals = self._extended(before, outputs["logits"], taken)
        rows, after = self._advanced(before, tokens, totals, taken)

        states = self._states(outputs, rows)
        carried = list(zip(before, self._starts(), _DTYPES, strict=True))
        scanned = [body.add("Gather", [outputs["weights"], rows])] if self.parts.attends else []
        values = self._loop(carried, after, states, self._goes_on(after.finished), scanned)
        count = len(_Beam._fields)
        return self._ranked(_Beam(*values[:count]), values[count:])

    def _prepare_widths(self) -> None:
        """Limits the settings given at run time, and counts the candidates of a row."""
        nodes, first = self.nodes, self.first
        widest = nodes.constant(min(WIDEST, self.parts.vocabulary))
        width = nodes.add("Min", [nodes.add("Max", [self.inputs["beam_width"], self.one]), widest])
        best = nodes.add("Min", [nodes.add("Max", [self.inputs["n_best"], self.one]), width])
        self.width = nodes.add("Reshape", [width, first])  # (1,)
        self.n_best = nodes.add("Reshape", [best, first])
        # There are more candidates than places, by as many as may turn out to be forbidden: the
        # first step has to fill all places of a sentence from the candidates of one row.
        more = nodes.constant([1 + (not self.search.allow_unknown)])
        self.count = nodes.add(
            "Min", [nodes.add("Add", [self.width, more]), nodes.constant([self.parts.vocabulary])]
        )

    def _prepare_rows(self) -> None:
        """Prepares the shapes of the loop's values, and the numbers of sentences and rows."""
        nodes, first = self.nodes, self.first
        self.by_sentence = nodes.add("Concat", [self.batch, self.minus, self.count], axis=0)
        self.flat = nodes.add("Concat", [self.batch, self.minus], axis=0)
        self.by_place = nodes.add("Concat", [self.batch, self.minus, first], axis=0)
        self.column = nodes.constant([-1, 1])
        batch = nodes.add("Squeeze", [self.batch])
        sentences = nodes.add("Range", [self.zero, batch, self.one])
        self.sentences = nodes.add("Unsqueeze", [sentences, first])  # (B, 1)
        # The row of each sentence's first place.
        self.offsets = nodes.add("Mul", [self.sentences, self.width])
        rows = nodes.add("Mul", [batch, nodes.add("Squeeze", [self.width])])
        rows = nodes.add("Range", [self.zero, rows, self.one])
        self.row_numbers = nodes.add("Unsqueeze", [rows, first])  # (R, 1)

    def _prepare_scores(self) -> None:
        """Prepares the log-probabilities of extensions of finished and of overlong hypotheses."""
        nodes = self.nodes
        impossible, self.least = nodes.constant(IMPOSSIBLE), nodes.constant(IMPOSSIBLE / 2)
        self.impossible = impossible
        count = nodes.add("Squeeze", [self.count])
        ranks = nodes.add("Range", [self.zero, count, self.one])
        is_first = nodes.add("Equal", [ranks, self.zero])
        # The one extension of a finished hypothesis outranks every live one.
        self.frozen = nodes.add(
            "Where", [is_first, nodes.constant(-IMPOSSIBLE), nodes.constant(4 * IMPOSSIBLE)]
        )
        self.only_first = nodes.add("Where", [is_first, nodes.constant(0.0), impossible])
        wide = nodes.constant([2])
        self.longest_of_row = nodes.add("Unsqueeze", [self.longest, wide])  # (B, 1, 1)
        self.shortest_of_row = nodes.add("Unsqueeze", [self.shortest, wide])

    def _prepare_length_penalty(self) -> None:
        """Computes ((5 + length) / 6)^weight for every length, 0 included."""
        nodes = self.nodes
        limit = nodes.add("Add", [self.limit, self.one])
        lengths = nodes.add("Range", [self.zero, limit, self.one])
        lengths = nodes.add("Cast", [lengths], to=FLOAT)
        bases = nodes.add(
            "Div", [nodes.add("Add", [lengths, nodes.constant(5.0)]), nodes.constant(6.0)]
        )
        self.divisors = nodes.add("Pow", [bases, self.inputs["length_penalty"]])
        self.at_longest = nodes.add("Gather", [self.divisors, self.longest])  # (B, 1)

    def _extended(self, beam: _Beam, logits: str, taken: str) -> tuple[str, str]:
        """Returns the extensions of every place: tokens, and log-probabilities of the hypotheses.

        Both are `(B, K, k)`. A finished hypothesis has one extension, which outranks all others.
        """
        nodes, body = self.nodes, self.body
        tokens, values = self._extensions(logits, taken)
        last = nodes.constant([2])
        possible = body.add("Greater", [beam.total, self.least])
        frozen = body.add("And", [beam.finished, possible])
        totals = body.add("Add", [body.add("Unsqueeze", [beam.total, last]), values])
        totals = body.add("Where", [body.add("Unsqueeze", [frozen, last]), self.frozen, totals])
        return tokens, totals

    def _advanced(self, beam: _Beam, tokens: str, totals: str, taken: str) -> tuple[str, _Beam]:
        """Gives the places of each sentence to its best extensions.

        Returns:
            The rows `(R,)` that the chosen hypotheses extend, and the beam after the step.
        """
        body = self.body
        totals = body.add("Reshape", [totals, self.flat])
        best, place = body.add_all("TopK", [totals, self.width], 2)  # (B, K)
        parent = body.add("Div", [place, self.count])
        places = body.add("Shape", [beam.token], start=1, end=2)  # before this step: 1, then K
        offsets = body.add("Mul", [self.sentences, places])  # (B, 1)
        rows = body.add("Reshape", [body.add("Add", [parent, offsets]), self.minus])  # (R,)
        chosen = body.add(
            "GatherElements", [body.add("Reshape", [tokens, self.flat]), place], axis=1
        )
        was_finished, was_total, was_score = (
            body.add("GatherElements", [value, parent], axis=1)
            for value in (beam.finished, beam.total, beam.score)
        )
        total = body.add("Where", [was_finished, was_total, best])
        is_end = body.add("Equal", [chosen, self.end])
        finished = body.add("Or", [was_finished, is_end])
        token = body.add("Where", [was_finished, self.pad, chosen])

        # Hypotheses that end at this step get their score here.
        divisor = body.add("Gather", [self.divisors, taken])
        ends = body.add("And", [is_end, body.add("Not", [was_finished])])
        ends = body.add("And", [ends, body.add("Greater", [total, self.least])])
        score = body.add("Where", [ends, body.add("Div", [total, divisor]), was_score])
        done = self._done(score, total, finished)

        column = body.add("Reshape", [token, self.column])
        ids, trail = (
            body.add("Concat", [body.add("Gather", [value, rows]), new], axis=1)
            for value, new in ((beam.ids, column), (beam.trail, self.row_numbers))
        )
        return rows, _Beam(token, done, total, score, ids, trail)

    def _states(self, outputs: Mapping[str, str], rows: str) -> dict[str, tuple[str, str]]:
        """Returns the first value, and the value at the chosen `rows` (R,), of every state tensor.

        Products of the state count as tensors of the state here.
        """
        nodes, body = self.nodes, self.body
        new = {name: outputs[NEW + name] for name in self.parts.state}
        states = {
            name: (self.encoded[name], body.add("Gather", [new[name], rows]))
            for name in self.state
            if name in new
        }
        if not self.products:
            return states
        distinct, place = self._distinct(rows)
        for product in self.products:
            constants = [
                constant and nodes.weight(to_array(constant)) for constant in product.constants
            ]
            first = product.add(nodes, self.encoded[product.state], constants)
            of_distinct = body.add("Gather", [new[product.state], distinct])
            of_distinct = product.add(body, of_distinct, constants)
            states[product.name] = (first, body.add("Gather", [of_distinct, place]))
        return states

    def _distinct(self, rows: str) -> tuple[str, str]:
        """Returns the distinct numbers among `rows` (R,) in order, and each row's index in them."""
        nodes, body = self.nodes, self.body
        count = nodes.add("Shape", [self.row_numbers], start=0, end=1)
        none, ones = (nodes.add("Expand", [value, count]) for value in (self.zero, self.one))
        # ONNX allows a row to come more than once only with a reduction.
        is_among = body.add("ScatterElements", [none, rows, ones], reduction="max")
        distinct = body.add("Reshape", [body.add("NonZero", [is_among]), self.minus])
        before = body.add("CumSum", [is_among, self.zero], exclusive=1)
        return distinct, body.add("Gather", [before, rows])

    def _extensions(self, logits: str, taken: str) -> tuple[str, str]:
        """Returns the candidate tokens of every place and their log-probabilities, `(B, K, k)`.

        A forbidden token gets `IMPOSSIBLE`. At the longest length the end is the only candidate.
        """
        body = self.body
        candidates = largest_columns(self, logits, self.count)  # (R, k)
        log_probs = body.add("LogSoftmax", [logits], axis=-1)
        values = body.add("GatherElements", [log_probs, candidates], axis=1)
        tokens, values = (
            body.add("Reshape", [value, self.by_sentence]) for value in (candidates, values)
        )
        forbidden = self._forbidden(tokens, taken, self.shortest_of_row)
        values = body.add("Where", [forbidden, self.impossible, values])
        forced = body.add("GreaterOrEqual", [taken, self.longest_of_row])
        ending = body.add("Gather", [log_probs, self.end], axis=1)  # (R,)
        ending = body.add("Reshape", [ending, self.by_place])
        ending = body.add("Add", [ending, self.only_first])
        tokens = body.add("Where", [forced, self.end, tokens])
        return tokens, body.add("Where", [forced, ending, values])

    def _done(self, score: str, total: str, finished: str) -> str:
        """Returns which places need no further extension, `(B, K)` bool.

        They are the finished ones, and all places of a sentence whose `n_best` best scores cannot
        be reached any more.
        """
        body, nodes = self.body, self.nodes
        if isinstance(self.search, BeamSearch) and self.search.stop == "first":
            to_beat = body.add("ReduceMax", [score, self.minus], keepdims=1)
            done = body.add("Greater", [to_beat, self.least])
            return body.add("Or", [finished, done])
        best = body.add_all("TopK", [score, self.n_best], 2)[0]
        to_beat = body.add("Gather", [best, nodes.constant([-1])], axis=1)  # (B, 1)
        # Log-probabilities only fall, and the longest output has the largest divisor.
        reach = body.add("Div", [total, self.at_longest])
        hopeless = body.add("LessOrEqual", [reach, to_beat])
        hopeless = body.add("And", [hopeless, body.add("Greater", [to_beat, self.least])])
        closed = body.add("Cast", [body.add("Or", [finished, hopeless])], to=INT64)
        closed = body.add(
            "Cast", [body.add("ReduceMin", [closed, self.minus], keepdims=1)], to=BOOL
        )
        return body.add("Or", [finished, closed])

    def _starts(self) -> _Beam:
        """Returns the beam before the first step, with one place for each sentence."""
        nodes = self.nodes
        one_each = nodes.add("Concat", [self.batch, self.first], axis=0)
        none = nodes.add("Concat", [self.batch, nodes.constant([0])], axis=0)
        token = nodes.add("Expand", [self.start, one_each])
        finished = nodes.add("Expand", [nodes.constant(False), one_each])
        total = nodes.add("Expand", [nodes.constant(0.0), one_each])
        score = nodes.add("Expand", [self.impossible, one_each])
        ids = nodes.add("Expand", [self.pad, none])
        return _Beam(token, finished, total, score, ids, trail=ids)

    def _ranked(self, beam: _Beam, weights: list[str]) -> dict[str, str]:
        """Ranks the hypotheses by score and returns the outputs of the best."""
        nodes = self.nodes
        broken = nodes.add("IsNaN", [nodes.add("ReduceSum", [beam.total, self.first], keepdims=1)])
        best, places = nodes.add_all("TopK", [beam.score, self.n_best], 2)  # (B, N)
        real = nodes.add("Greater", [best, self.least])
        real = nodes.add("And", [real, nodes.add("Not", [broken])])
        nothing = nodes.add(
            "Where", [broken, nodes.constant(float("nan")), nodes.constant(float("-inf"))]
        )
        rows = nodes.add("Add", [places, self.offsets])
        ids = nodes.add("Gather", [beam.ids, rows])  # (B, N, t)
        ids = self._padded(ids, nodes.add("Unsqueeze", [real, nodes.constant([2])]))
        outputs = {
            "output_ids": ids,
            "output_lengths": self._lengths(ids, real),
            "scores": nodes.add("Where", [real, best, nothing]),
        }
        if weights:
            followed = self._followed(weights[0], beam.trail, rows)
            outputs["alignments"] = self._aligned(followed, outputs["output_lengths"])
        return outputs

    def _followed(self, weights: str, trail: str, rows: str) -> str:
        """Returns the weights `(B, N, t, S)` of hypotheses, out of those `(t, R, S)` of all rows.

        The trail says at which row a hypothesis was at each step.
        """
        nodes = self.nodes
        steps = nodes.add("Gather", [trail, rows])  # (B, N, t)
        count = nodes.add("Squeeze", [nodes.add("Shape", [trail], start=1, end=2)])
        step = nodes.add("Range", [self.zero, count, self.one])
        width = nodes.add("Shape", [trail], start=0, end=1)
        steps = nodes.add("Add", [steps, nodes.add("Mul", [step, width])])
        source_length = nodes.add("Shape", [self.inputs["input_ids"]], start=1, end=2)
        # The encoder adds one position to a source without any.
        sources = nodes.add("Max", [source_length, self.first])
        shape = nodes.add("Concat", [self.minus, sources], axis=0)
        flat = nodes.add("Reshape", [weights, shape])
        return nodes.add("Gather", [flat, steps])
