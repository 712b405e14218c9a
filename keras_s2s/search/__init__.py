"""Search: from a step callable and an opaque state to the best sequences of ids.

`hypotheses` holds what all searches share, `greedy` and `beam` the searches. A search sees a
callable, never a network: `step(tokens, state)` takes `(N,)` int32 and a structure of tensors with
`N` rows, and returns `(logits (N, V), state)` or `(logits, state, weights (N, S))`. The loop is one
`ops.while_loop` over shapes that do not change, so it runs eagerly, compiled and exported.

Every hypothesis ends with the end token: at the last of `max_length` steps nothing else may follow.
So every returned score is the score of a whole sentence, and is what re-scoring the returned ids
gives.
"""

from keras_s2s.search.beam import BeamSearch
from keras_s2s.search.greedy import GreedySearch
from keras_s2s.search.hypotheses import Search, SearchResult

__all__ = ["BeamSearch", "GreedySearch", "Search", "SearchResult"]
