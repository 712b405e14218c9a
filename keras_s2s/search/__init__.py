"""Search, which finds the best sequences of ids with a step function and an opaque state.

A search sees a callable and never a network. `step(tokens, state)` takes `(R,)` int32 tokens and a
structure of tensors with `R` rows, and returns `(logits (R, V), state)` or
`(logits, state, weights (R, S))`. The loop is one `ops.while_loop` over shapes that do not change,
so the same code runs eagerly, compiled and exported.

- `greedy`, `beam`, `diverse`, `sampling`: the kinds of search, one class each.
- `tfa/`: the beam search of TensorFlow Addons, for migration.
- `search`: `Search`, the base of all kinds, with their settings and one call from start to result.
- `registry`: the kinds of search by name, and their settings.
- `loop`: the loop that every search runs.
- `constraints/`: the tokens that may follow a hypothesis: prefixes, phrases, repetitions.
- `state/`: the state of the loop, which is hypotheses, their history and the model's prediction.
- `penalties/`: the scores that hypotheses are ranked by.
- `request`: `Request`, the arguments of one call, such as special ids, lengths and phrases.
- `result`: `SearchResult`, and the error for logits that are not finite.

Imports run downwards in this list. A new kind of search is one file with a subclass of `Search`.

Every hypothesis ends with the end token, which is forced at the last step. So each returned score
is the score of a whole sentence, and scoring the returned ids again gives the same number.
"""

from keras_s2s.search.beam import BeamSearch
from keras_s2s.search.diverse import DiverseBeamSearch
from keras_s2s.search.greedy import GreedySearch
from keras_s2s.search.penalties import (
    GNMT,
    PENALTIES,
    TFA,
    CoveragePenalty,
    GNMTCoverage,
    GoogleSeq2Seq,
    JoeyNMT,
    LengthPenalty,
    Marian,
    NoPenalty,
    OpenNMTtf,
    Sockeye,
    length_penalty,
    named_penalty,
)
from keras_s2s.search.result import SearchResult
from keras_s2s.search.sampling import SamplingSearch
from keras_s2s.search.search import Search
from keras_s2s.search.tfa import TFABeamSearch, TFAResult

__all__ = [
    "GNMT",
    "PENALTIES",
    "TFA",
    "BeamSearch",
    "CoveragePenalty",
    "DiverseBeamSearch",
    "GNMTCoverage",
    "GoogleSeq2Seq",
    "GreedySearch",
    "JoeyNMT",
    "LengthPenalty",
    "Marian",
    "NoPenalty",
    "OpenNMTtf",
    "SamplingSearch",
    "Search",
    "SearchResult",
    "Sockeye",
    "TFABeamSearch",
    "TFAResult",
    "length_penalty",
    "named_penalty",
]
