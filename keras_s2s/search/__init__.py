"""Search: from a step callable and an opaque state to the best sequences of ids.

A search sees a callable, never a network: `step(tokens, state)` takes `(N,)` int32 and a structure
of tensors with `N` rows, and returns `(logits (N, V), state)` or `(logits, state, weights (N, S))`.
The loop is one `ops.while_loop` over shapes that do not change, so it runs eagerly, compiled and
exported.

- `search`: settings of all searches; `request`: what one call asks for; `result`.
- `greedy`, `beam`, `diverse`, `sampling`: the searches; `tfa`: that of TensorFlow Addons.
- `loop`: runs them; `hypotheses`: its state; `prediction`: what a step said.
- `candidates`: the tokens a hypothesis may go on with; `controls`, `phrases`, `required`: what it
  should not, may not and must say.
- `penalties`, `families`: what hypotheses are ranked by; `history`: how they are written and read
  back.

Every hypothesis ends with the end token: at the last of its steps nothing else may follow. So every
returned score is the score of a whole sentence, and is what re-scoring the returned ids gives.
"""

from keras_s2s.search.beam import BeamSearch
from keras_s2s.search.diverse import DiverseBeamSearch
from keras_s2s.search.families import (
    GNMT,
    TFA,
    GoogleSeq2Seq,
    JoeyNMT,
    Marian,
    NoPenalty,
    OpenNMTtf,
    Sockeye,
)
from keras_s2s.search.greedy import GreedySearch
from keras_s2s.search.penalties import (
    PENALTIES,
    CoveragePenalty,
    GNMTCoverage,
    LengthPenalty,
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
