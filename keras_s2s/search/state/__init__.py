"""State: what the loop of a search carries from step to step.

| file | holds |
|---|---|
| `hypotheses.py` | `Hypotheses`, the loop's state: how it starts, how tokens are appended, how it ends |
| `history.py` | `History`, the tokens that every step wrote, and how sequences are read back from it |
| `prediction.py` | `Prediction`, what the model says of the next token; the largest of many logits |
"""
