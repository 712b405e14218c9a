"""Beam search as an ONNX loop."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx.numpy_helper import to_array

from keras_s2s.export.onnx.loops.recurrent_products import without_products
from keras_s2s.export.onnx.loops.search import BOOL, FLOAT, INT64, SearchLoop
from keras_s2s.export.onnx.parts import NEW
from keras_s2s.search import BeamSearch
from keras_s2s.search.result import IMPOSSIBLE
from keras_s2s.search.state.prediction import CHUNK

WIDEST = 64  # places that a caller may ask for
CHUNKED = 16  # chunks of columns from which on the largest are looked for by chunks


class BeamLoop(SearchLoop):
    """`BeamSearch` with GNMT's length penalty, its width a value and not a shape.

    Before the first step all hypotheses of a sentence are one, so the search begins with one place
    of each sentence and has all `K` from the second step on. What it carries is `(B, K)`, but for
    the ids so far and the rows that they went through, `(R, t)` both, which are moved when
    hypotheses change places: they are small. Scores of finished hypotheses are kept, so that no
    lengths are needed; a place without one holds `IMPOSSIBLE`.

    What a step makes of the state alone is made when hypotheses were chosen, of each distinct one
    they come from; see `recurrent_products`.
    """

    def _write(self) -> dict[str, str]:
        nodes, body = self.nodes, self.body
        self.step, self.state, self.products = without_products(self.step, self.state)
        self._prepare()
        token, finished, total, score, ids, trail = (
            body.prefix + name for name in ("token", "finished", "total", "score", "ids", "trail")
        )
        outputs = self._step(body.add("Reshape", [token, self.minus]))
        taken = body.add("Add", [body.number, self.one])

        # 1. Extensions of every place.
        tokens, values = self._extensions(outputs["logits"], taken)  # (B, K, k)
        last = nodes.constant([2])
        kept = body.add("And", [finished, body.add("Greater", [total, self.least])])
        totals = body.add("Add", [body.add("Unsqueeze", [total, last]), values])
        totals = body.add("Where", [body.add("Unsqueeze", [kept, last]), self.frozen, totals])

        # 2. The best of each sentence.
        totals = body.add("Reshape", [totals, self.flat])
        best, place = body.add_all("TopK", [totals, self.width], 2)  # (B, K)
        parent = body.add("Div", [place, self.count])
        now = body.add("Shape", [token], start=1, end=2)  # places before this step: 1, then K
        offsets = body.add("Mul", [self.sentences, now])  # (B, 1)
        rows = body.add("Reshape", [body.add("Add", [parent, offsets]), self.minus])  # (R,)
        chosen = body.add(
            "GatherElements", [body.add("Reshape", [tokens, self.flat]), place], axis=1
        )
        was_finished, was_total, was_score = (
            body.add("GatherElements", [value, parent], axis=1)
            for value in (finished, total, score)
        )
        new_total = body.add("Where", [was_finished, was_total, best])
        is_end = body.add("Equal", [chosen, self.end])
        new_finished = body.add("Or", [was_finished, is_end])
        written = body.add("Where", [was_finished, self.pad, chosen])

        # 3. Scores of those that end here, and sentences whose best can no longer be reached.
        divisor = body.add("Gather", [self.divisors, taken])
        ends = body.add("And", [is_end, body.add("Not", [was_finished])])
        ends = body.add("And", [ends, body.add("Greater", [new_total, self.least])])
        new_score = body.add("Where", [ends, body.add("Div", [new_total, divisor]), was_score])
        done = self._done(new_score, new_total, new_finished)

        column = body.add("Reshape", [written, self.column])
        so_far, went = (
            body.add("Concat", [body.add("Gather", [value, rows]), new], axis=1)
            for value, new in ((ids, column), (trail, self.row_numbers))
        )
        states = self._states(outputs, rows)
        start = self._starts()
        carried = [
            (token, start["token"], INT64),
            (finished, start["finished"], BOOL),
            (total, start["total"], FLOAT),
            (score, start["score"], FLOAT),
            (ids, start["ids"], INT64),
            (trail, start["ids"], INT64),
        ]
        after = [written, done, new_total, new_score, so_far, went]
        scanned = [body.add("Gather", [outputs["weights"], rows])] if self.parts.attends else []
        _, _, total, score, ids, trail, *weights = self._loop(
            carried, after, states, self._goes_on(done), scanned
        )
        return self._found(total, score, ids, trail, weights)

    def _prepare(self) -> None:
        """What does not change while the loop runs."""
        nodes, first = self.nodes, self.first
        widest = nodes.constant(min(WIDEST, self.parts.vocabulary))
        width = nodes.add("Min", [nodes.add("Max", [self.given["beam_width"], self.one]), widest])
        best = nodes.add("Min", [nodes.add("Max", [self.given["n_best"], self.one]), width])
        self.width = nodes.add("Reshape", [width, first])  # (1,)
        self.n_best = nodes.add("Reshape", [best, first])
        # As many more candidates as may turn out to be forbidden: the first step has to fill all
        # places from those of one.
        more = nodes.constant([1 + (not self.search.allow_unknown)])
        self.count = nodes.add(
            "Min", [nodes.add("Add", [self.width, more]), nodes.constant([self.parts.vocabulary])]
        )
        self.by_sentence = nodes.add("Concat", [self.batch, self.minus, self.count], axis=0)
        self.flat = nodes.add("Concat", [self.batch, self.minus], axis=0)
        self.by_place = nodes.add("Concat", [self.batch, self.minus, first], axis=0)
        self.column = nodes.constant([-1, 1])
        batch = nodes.add("Squeeze", [self.batch])
        sentences = nodes.add("Range", [self.zero, batch, self.one])
        self.sentences = nodes.add("Unsqueeze", [sentences, first])  # (B, 1)
        self.offsets = nodes.add("Mul", [self.sentences, self.width])  # of the places, in rows
        rows = nodes.add("Mul", [batch, nodes.add("Squeeze", [self.width])])
        rows = nodes.add("Range", [self.zero, rows, self.one])
        self.row_numbers = nodes.add("Unsqueeze", [rows, first])  # (R, 1)

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

        # ((5 + length) / 6)^weight of every length, 0 included
        limit = nodes.add("Add", [self.limit, self.one])
        lengths = nodes.add("Range", [self.zero, limit, self.one])
        lengths = nodes.add("Cast", [lengths], to=FLOAT)
        bases = nodes.add(
            "Div", [nodes.add("Add", [lengths, nodes.constant(5.0)]), nodes.constant(6.0)]
        )
        self.divisors = nodes.add("Pow", [bases, self.given["length_penalty"]])
        self.at_longest = nodes.add("Gather", [self.divisors, self.longest])  # (B, 1)

    def _states(self, outputs: Mapping[str, str], rows: str) -> dict[str, tuple[str, str]]:
        """Of each tensor that an iteration reads the first, and that of the chosen `rows` (R,)."""
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
            constants = [each and nodes.weight(to_array(each)) for each in product.constants]
            begin = product.add(nodes, self.encoded[product.state], constants)
            of_distinct = body.add("Gather", [new[product.state], distinct])
            of_distinct = product.add(body, of_distinct, constants)
            states[product.name] = (begin, body.add("Gather", [of_distinct, place]))
        return states

    def _distinct(self, rows: str) -> tuple[str, str]:
        """The numbers that are among `rows` (R,), in order, and which of them each of R is."""
        nodes, body = self.nodes, self.body
        count = nodes.add("Shape", [self.row_numbers], start=0, end=1)
        none, ones = (nodes.add("Expand", [value, count]) for value in (self.zero, self.one))
        # Rows come more than once, which ONNX allows with a reduction only.
        is_among = body.add("ScatterElements", [none, rows, ones], reduction="max")
        distinct = body.add("Reshape", [body.add("NonZero", [is_among]), self.minus])
        before = body.add("CumSum", [is_among, self.zero], exclusive=1)
        return distinct, body.add("Gather", [before, rows])

    def _extensions(self, logits: str, taken: str) -> tuple[str, str]:
        """Candidates of every row `(B, K, k)`: tokens, and log-probabilities to choose by."""
        body = self.body
        candidates = self._largest(logits)  # (R, k)
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

    def _largest(self, logits: str) -> str:
        """The places `(R, k)` of the largest of each row, of equal ones the first.

        TopK over all columns takes as long as a tenth of the output layer's product. As
        `search.state.prediction.largest` does, it is left to the k chunks of 64 columns with the
        largest maxima: those hold the k largest numbers.
        """
        nodes, body, vocabulary = self.nodes, self.body, self.parts.vocabulary
        if vocabulary < CHUNKED * CHUNK:
            return body.add_all("TopK", [logits, self.count], 2)[1]
        chunks = -(-vocabulary // CHUNK)
        behind = chunks * CHUNK - vocabulary
        if behind:
            pads = nodes.constant([0, 0, 0, behind])
            logits = body.add("Pad", [logits, pads, nodes.constant(-np.inf)])
        by_chunk = body.add("Reshape", [logits, nodes.constant([-1, chunks, CHUNK])])
        chunk = nodes.constant(CHUNK)
        few = nodes.add("Min", [self.count, nodes.constant([chunks])])
        maxima = body.add("ReduceMax", [by_chunk, self.minus], keepdims=0)  # (R, chunks)
        best = body.add_all("TopK", [maxima, few], 2)[1]
        best = body.add_all("TopK", [best, few], 2, largest=0)[0]  # in the order of their columns
        chosen = body.add("Unsqueeze", [best, self.minus])
        within = body.add("GatherND", [by_chunk, chosen], batch_dims=1)  # (R, few, CHUNK)
        rows = nodes.add("Concat", [self.minus, nodes.add("Mul", [few, chunk])], axis=0)
        places = body.add_all("TopK", [body.add("Reshape", [within, rows]), self.count], 2)[1]
        best = body.add("GatherElements", [best, body.add("Div", [places, chunk])], axis=1)
        columns = body.add("Mul", [best, chunk])
        columns = body.add("Add", [columns, body.add("Mod", [places, chunk])])
        # Where logits are not numbers, a place behind the last may have come out.
        return body.add("Min", [columns, nodes.constant([vocabulary - 1])])

    def _done(self, score: str, total: str, finished: str) -> str:
        """`(B, K)` bool: finished, or of a sentence whose best `n_best` nothing can reach."""
        body, nodes = self.body, self.nodes
        if isinstance(self.search, BeamSearch) and self.search.stop == "first":
            to_beat = body.add("ReduceMax", [score, self.minus], keepdims=1)
            done = body.add("Greater", [to_beat, self.least])
            return body.add("Or", [finished, done])
        best = body.add_all("TopK", [score, self.n_best], 2)[0]
        to_beat = body.add("Gather", [best, nodes.constant([-1])], axis=1)  # (B, 1)
        # Log-probabilities only fall, and the longest output divides them by the most.
        reach = body.add("Div", [total, self.at_longest])
        hopeless = body.add("LessOrEqual", [reach, to_beat])
        hopeless = body.add("And", [hopeless, body.add("Greater", [to_beat, self.least])])
        closed = body.add("Cast", [body.add("Or", [finished, hopeless])], to=INT64)
        closed = body.add(
            "Cast", [body.add("ReduceMin", [closed, self.minus], keepdims=1)], to=BOOL
        )
        return body.add("Or", [finished, closed])

    def _starts(self) -> dict[str, str]:
        nodes = self.nodes
        one_each = nodes.add("Concat", [self.batch, self.first], axis=0)
        none = nodes.add("Concat", [self.batch, nodes.constant([0])], axis=0)
        return {
            "token": nodes.add("Expand", [self.start, one_each]),
            "finished": nodes.add("Expand", [nodes.constant(False), one_each]),
            "total": nodes.add("Expand", [nodes.constant(0.0), one_each]),
            "score": nodes.add("Expand", [self.impossible, one_each]),
            "ids": nodes.add("Expand", [self.pad, none]),
        }

    def _found(
        self, total: str, score: str, ids: str, trail: str, weights: list[str]
    ) -> dict[str, str]:
        """Ranks the hypotheses and reads the best."""
        nodes = self.nodes
        broken = nodes.add("IsNaN", [nodes.add("ReduceSum", [total, self.first], keepdims=1)])
        best, places = nodes.add_all("TopK", [score, self.n_best], 2)  # (B, N)
        real = nodes.add("Greater", [best, self.least])
        real = nodes.add("And", [real, nodes.add("Not", [broken])])
        nothing = nodes.add(
            "Where", [broken, nodes.constant(float("nan")), nodes.constant(float("-inf"))]
        )
        rows = nodes.add("Add", [places, self.offsets])
        ids = nodes.add("Gather", [ids, rows])  # (B, N, t)
        ids = self._padded(ids, nodes.add("Unsqueeze", [real, nodes.constant([2])]))
        found = {
            "output_ids": ids,
            "output_lengths": self._lengths(ids, real),
            "scores": nodes.add("Where", [real, best, nothing]),
        }
        if weights:
            # Weights (t, R, S) of all rows; the trail says which row a hypothesis was at each step.
            steps = nodes.add("Gather", [trail, rows])  # (B, N, t)
            count = nodes.add("Squeeze", [nodes.add("Shape", [trail], start=1, end=2)])
            step = nodes.add("Range", [self.zero, count, self.one])
            width = nodes.add("Shape", [trail], start=0, end=1)
            steps = nodes.add("Add", [steps, nodes.add("Mul", [step, width])])
            given = nodes.add("Shape", [self.given["input_ids"]], start=1, end=2)
            sources = nodes.add("Max", [given, self.first])  # the encoder gives one where none was
            shape = nodes.add("Concat", [self.minus, sources], axis=0)
            flat = nodes.add("Reshape", [weights[0], shape])
            found["alignments"] = self._aligned(
                nodes.add("Gather", [flat, steps]), found["output_lengths"]
            )
        return found
