"""State: what the loop of a search carries from step to step.

| file | holds |
|---|---|
| `hypotheses.py` | `Hypotheses`, the loop's state, from its start to the result |
| `history.py` | `History`, what every step wrote, and how sequences are read back |
| `prediction.py` | `Prediction`, what the model says of the next token; `largest` logits |
"""
