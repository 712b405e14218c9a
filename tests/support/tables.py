"""Steps without a network, for the tests of searches: words over an alphabet, and random tables.

The random tables have a row for each prefix. So a search that mixes up the states of hypotheses
reads the wrong row, and its scores show it.
"""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_s2s.search import SearchResult
from oracles import reference
from support.backends import BACKEND, compiled

PAD, UNKNOWN, START, END = range(4)


# In words, the next letter depends on the last one alone.

LETTERS = "_?<>abcdefghijklmnopqrstuvwxyz"


def ids_of(text):
    return [LETTERS.index(letter) for letter in text]


def words(result, row=0):
    """Returns the hypotheses of a row as words, up to their lengths."""
    ids, lengths = np.array(result.ids)[row], np.array(result.lengths)[row]
    return ["".join(LETTERS[i] for i in ids[n, : lengths[n]]) for n in range(len(ids))]


def chain(**likely):
    """Returns a step over `letter="next letters"`, each half as likely as the one before."""
    table = np.full((len(LETTERS), len(LETTERS)), -20.0, "float32")
    for letter, following in likely.items():
        for rank, other in enumerate(following):
            row = START if letter == "start" else LETTERS.index(letter)
            table[row, LETTERS.index(other)] = -rank * np.log(2)

    def step(tokens, state):
        return ops.take(table, tokens, axis=0), state

    return step


# Random tables have one row of logits for each sentence and prefix.


class Tables:
    """`rows` random models over `vocabulary` ids, with logits that depend on the whole prefix.

    A prefix is a node of a tree: the root is 0, and token `v` leads from node `n` to `n·V + v + 1`.
    """

    def __init__(
        self, rows, max_length, vocabulary=5, seed=0, scale=2.0, source_length=3, columns=None
    ):
        rng = np.random.default_rng(seed)
        self.rows, self.vocabulary, self.max_length = rows, vocabulary, max_length
        nodes = sum(vocabulary**n for n in range(max_length + 1))
        self.logits = rng.normal(0, scale, (rows, nodes, vocabulary)).astype("float32")
        self.weights = reference.softmax(rng.normal(size=(rows, nodes, source_length)))
        # These ids are never possible, so that a beam can be wider than the vocabulary of a tree.
        self.impossible = max(columns or vocabulary, vocabulary) - vocabulary

    def node(self, ids):
        return functools.reduce(lambda node, token: node * self.vocabulary + token + 1, ids, 0)

    def logits_of(self, row):
        return lambda ids: self.logits[row, self.node(ids)].astype("float64")

    def weights_of(self, row, ids):
        """Returns the weights of each position of a sequence."""
        return [self.weights[row, self.node(ids[:t])] for t in range(len(ids))]

    def start(self, rows=None):
        chosen = np.arange(self.rows) if rows is None else np.array(rows)
        chosen = chosen.astype("int32")
        return {"row": chosen, "node": np.zeros_like(chosen), "begun": np.zeros(len(chosen), bool)}

    def step(self, tokens, state):
        following = state["node"] * self.vocabulary + tokens + 1
        node = ops.where(state["begun"], following, 0)
        # A finished row reads on past the leaves; the logits that it reads there must not matter.
        node = ops.minimum(node, self.logits.shape[1] - 1)
        place = state["row"] * self.logits.shape[1] + node
        flat = self.logits.reshape(-1, self.vocabulary)
        weights = self.weights.reshape(-1, self.weights.shape[-1]).astype("float32")
        logits = ops.take(flat, place, axis=0)
        if self.impossible:
            logits = ops.pad(logits, [[0, 0], [0, self.impossible]], constant_values=-float("inf"))
        return (
            logits,
            {**state, "node": node, "begun": ops.ones_like(state["begun"])},
            ops.take(weights, place, axis=0),
        )

    def search(self, search, rows=None, **arguments):
        """Runs a search on some of the sentences; on JAX compiled whole, not only in part."""
        if BACKEND == "jax" and not arguments:
            return self.compiled_search(search, rows)
        state = self.start(rows)
        mask = np.ones((len(state["row"]), self.weights.shape[-1]), bool)
        found = search(self.step, state, batch_size=len(mask), source_mask=mask, **arguments)
        return SearchResult(*(np.array(part) for part in found))

    def compiled_search(self, search, rows=None):
        """Runs the same search, compiled for any batch."""
        run = self._compiled(search)
        state = keras.tree.map_structure(ops.convert_to_tensor, self.start(rows))
        return SearchResult(*(np.array(part) for part in run(state)))

    @functools.cache  # noqa: B019 - a few tables per test run
    def _compiled(self, search):
        signature = {
            "row": keras.KerasTensor((None,), "int32"),
            "node": keras.KerasTensor((None,), "int32"),
            "begun": keras.KerasTensor((None,), "bool"),
        }

        def run(state):
            return search(
                self.step,
                state,
                batch_size=ops.shape(state["row"])[0],
                source_mask=ops.ones((ops.shape(state["row"])[0], self.weights.shape[-1]), "bool"),
            )

        return compiled(run, [signature])


def hypotheses(result, row):
    """Returns `(ids, log_prob, score)` of each hypothesis of a row that is not missing."""
    return [
        (
            tuple(result.ids[row, n, :length].tolist()),
            result.log_probs[row, n],
            result.scores[row, n],
        )
        for n, length in enumerate(result.lengths[row])
        if length
    ]


def check(result, row, expected):
    found = hypotheses(result, row)
    assert [ids for ids, _, _ in found] == [hypothesis.ids for hypothesis in expected]
    for (_, log_prob, score), hypothesis in zip(found, expected, strict=True):
        # These are float32 sums of at most five terms near 10.
        assert log_prob == pytest.approx(hypothesis.log_prob, abs=1e-5)
        assert score == pytest.approx(hypothesis.score, abs=1e-5)
