"""The losses and metrics of training, and the updates and averages of the weights.

- `losses`: The cross-entropy over real tokens, the sampled cross-entropy for large vocabularies,
  and the loss that guides attention by given alignments.
- `regularized_dropout`: R-Drop, the loss that makes two passes with different dropout agree.
- `projection`: The output layer and its cross-entropy as one computation over real tokens.
- `candidate_sampling`: Draws the ids of a large vocabulary that one training step looks at.
- `token_metrics`: Accuracy and perplexity as exact means over the real tokens of an epoch.
- `adam`: An Adam optimizer that updates each weight in one operation.
- `learning_rates`: Learning rates that change with every step.
- `moving_average`: Evaluates a model with the moving average of its weights.
"""
