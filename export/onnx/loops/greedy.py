"""Writes greedy search as an ONNX loop."""

from __future__ import annotations

from keras_s2s.export.onnx.loops.search import BOOL, FLOAT, INT64, SearchLoop
from keras_s2s.export.onnx.parts import NEW
from keras_s2s.search.result import IMPOSSIBLE


class GreedyLoop(SearchLoop):
    """`GreedySearch`. The values that it carries are `(B, 1)`, except for the ids so far."""

    def _write(self) -> dict[str, str]:
        nodes, body = self.nodes, self.body
        token, finished, total, ids = (
            body.prefix + name for name in ("token", "finished", "total", "ids")
        )
        nothing = nodes.constant(0.0)
        outputs = self._step(body.add("Reshape", [token, self.minus]))
        best, value = self._best(outputs["logits"])
        written = body.add("Where", [finished, self.pad, best])
        new_total = body.add("Add", [total, body.add("Where", [finished, nothing, value])])
        ended = body.add("Or", [finished, body.add("Equal", [best, self.end])])
        so_far = body.add("Concat", [ids, written], axis=1)

        first_ids = self._everywhere(self.start)
        scanned = [outputs["weights"]] if self.parts.attends else []
        _, _, total, ids, *weights = self._loop(
            [
                (token, first_ids, INT64),
                (finished, self._everywhere(nodes.constant(False)), BOOL),
                (total, self._everywhere(nothing), FLOAT),
                (ids, self._empty(), INT64),
            ],
            [written, ended, new_total, so_far],
            {name: (self.encoded[name], outputs[NEW + name]) for name in self.state},
            self._goes_on(ended),
            scanned,
        )
        return self._outputs(total, ids, weights)

    def _best(self, logits: str) -> tuple[str, str]:
        """Returns the best token of each sentence and its log-probability, `(B, 1)` each.

        At the longest length that is the end id.
        """
        nodes, body = self.nodes, self.body
        # By logits and not by their log-softmax, in which the best two may become equal.
        count = min(2 + (not self.search.allow_unknown), self.parts.vocabulary)
        candidates = body.add_all("TopK", [logits, nodes.constant([count])], 2)[1]
        log_probs = body.add("LogSoftmax", [logits], axis=-1)
        values = body.add("GatherElements", [log_probs, candidates], axis=1)  # (B, k)
        taken = body.add("Add", [body.number, self.one])
        forbidden = self._forbidden(candidates, taken, self.shortest)
        values = body.add("Where", [forbidden, nodes.constant(IMPOSSIBLE), values])
        place = body.add("ArgMax", [values], axis=1, keepdims=1)
        best = body.add("GatherElements", [candidates, place], axis=1)
        value = body.add("GatherElements", [values, place], axis=1)

        forced = body.add("GreaterOrEqual", [taken, self.longest])
        ending = body.add(
            "Gather", [log_probs, body.add("Reshape", [self.end, self.first])], axis=1
        )
        best = body.add("Where", [forced, self.end, best])
        return best, body.add("Where", [forced, ending, value])

    def _outputs(self, total: str, ids: str, weights: list[str]) -> dict[str, str]:
        """Returns the outputs of the search, made of the last values of its loop."""
        nodes = self.nodes
        real = nodes.add("Not", [nodes.add("IsNaN", [total])])
        ids = nodes.add("Unsqueeze", [ids, self.first])
        ids = self._padded(ids, nodes.add("Unsqueeze", [real, nodes.constant([2])]))
        outputs = {
            "output_ids": ids,
            "output_lengths": self._lengths(ids, real),
            "scores": total,
        }
        if weights:
            by_sentence = nodes.add("Transpose", weights, perm=[1, 0, 2])
            by_sentence = nodes.add("Unsqueeze", [by_sentence, self.first])
            outputs["alignments"] = self._aligned(by_sentence, outputs["output_lengths"])
        return outputs

    def _empty(self) -> str:
        shape = self.nodes.add("Concat", [self.batch, self.nodes.constant([0])], axis=0)
        return self.nodes.add("Expand", [self.pad, shape])
