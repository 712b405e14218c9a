"""State, the hypotheses that the loop of a search carries from step to step.

- `hypotheses`: `Hypotheses`, the state of the loop, from its start to the result.
- `history`: `History`, the tokens of every step, from which sequences are read back.
- `prediction`: `Prediction`, the model's logits of a step, and a fast choice of the largest ones.
"""
