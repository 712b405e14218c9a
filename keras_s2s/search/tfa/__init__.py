"""The beam search of TensorFlow Addons, number for number, for models that were tuned with it.

- `search`: `TFABeamSearch`, with its arguments and results.
- `beams`: the state of its loop, one step of the loop, and the reading of sequences at the end.
"""

from keras_s2s.search.tfa.search import TFABeamSearch, TFAResult

__all__ = ["TFABeamSearch", "TFAResult"]
