"""Models: what is trained, how a step of training runs, and what decodes.

- `ensemble`: Several models decoded together, as one model.
- `inference`: Decoding with a model: what it offers for that, and the model that searches over
  it.
- `migration`: Weights of decoders trained with TensorFlow Addons, loaded into `Decoder`.
- `precision`: The numbers a training computes in, and the way back to whole ones.
- `scheduled_sampling`: Scheduled sampling: how often training reads the true token, and what it
  reads otherwise.
- `seq2seq`: Seq2Seq: encoder, bridge and decoder as one model to train.
- `steps`: Steps of `fit` and `evaluate` in which the output layer sees real tokens only.
"""
