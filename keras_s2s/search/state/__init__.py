"""State: the hypotheses that the loop of a search carries from step to step.

| file | holds |
|---|---|
| `hypotheses.py` | `Hypotheses`, the loop's state, from its start to the result |
| `history.py` | `History`, the tokens of every step, and how sequences are read back |
| `prediction.py` | `Prediction`, the model's logits of a step; a fast choice of the largest |
"""
