"""The trainable model, its training steps, and the models that decode with it.

- `seq2seq`: `Seq2Seq`, which joins encoder, bridge and decoder into one model to train.
- `sharing`: The embedding that encoder and decoder may share, and the cells that they must not.
- `steps`: Training and test steps in which the output layer sees only real tokens.
- `scheduled_sampling`: Training that reads some of the model's own tokens instead of the true ones.
- `inference`: `Decodable`, the base of models for decoding, and `InferenceModel`, which runs a
  search.
- `ensemble`: `Ensemble`, which decodes with several models together.
- `precision`: The precisions that training may compute in, and the conversion back to float32.
- `migration`: Loading a decoder that was trained with TensorFlow Addons.
- `tfa_weights`: The arrays of TensorFlow Addons from which each weight of a `Decoder` is made.
"""
