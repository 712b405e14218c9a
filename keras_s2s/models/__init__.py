"""Models: a trainable model, its steps of training, and the models that decode with it.

- `seq2seq`: `Seq2Seq`, which joins encoder, bridge and decoder into one model to train.
- `sharing`: The embedding that encoder and decoder may share, and the cells that they must not.
- `steps`: Training and test steps in which the output layer sees real tokens only.
- `scheduled_sampling`: How often training reads the true token, and what it reads otherwise.
- `inference`: What a model offers for decoding, and `InferenceModel`, which runs a search over it.
- `ensemble`: `Ensemble`, which decodes with several models together.
- `precision`: The precisions that a training may compute in, and the way back to float32.
- `migration`: Loading a decoder that was trained with TensorFlow Addons.
- `tfa_weights`: The arrays of TensorFlow Addons that each weight of a `Decoder` is made from.
"""
