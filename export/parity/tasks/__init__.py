"""Tasks: what exported models are asked, and how their answers are judged.

- `ids`: Tasks from source ids to target ids.
- `n_best`: The task of text-to-text graphs that tell details: n-best, scores, pieces, alignments.
- `task`: What artefacts are compared on: what every task is. `text_tasks` and `ids_tasks` hold
  them.
- `text`: Tasks from text: to the best text, to several with scores, to one with its alignments.
"""
