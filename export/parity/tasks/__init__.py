"""Tasks: sources with the outputs expected for them, and how an artefact's outputs are judged.

- `task`: the base class of all tasks, with the differences of scores and of attention weights.
- `text`: from text to the best text, to several texts with scores, or to one with its alignments.
- `n_best`: from text to the n-best list with scores, tokens and alignments.
- `ids`: from source ids to target ids.
"""
