"""Optimization: losses, token metrics, the optimizer and its learning rates.

- `adam`: Adam whose update is one operation for each weight.
- `candidate_sampling`: Which ids of a large vocabulary a training step looks at, and how likely
  it was to.
- `learning_rates`: Learning rates that change with every step; for `learning_rate` of any Keras
  optimizer.
- `losses`: Training losses: cross-entropy over real tokens only, and attention led by given
  alignments.
- `moving_average`: The moving average of a training's weights, in place of the weights while a
  model is looked at.
- `projection`: The output layer and its cross-entropy together, over real tokens only.
- `regularized_dropout`: R-Drop: a loss that makes the model say the same whatever its dropout
  leaves out.
- `token_metrics`: Metrics of training: exact means over the real tokens of an epoch, not means of
  batch means.
"""
