"""Text to ids and back: tokenizers of subwords, characters and words.

A tokenizer has three forms, in Python, TensorFlow and ONNX, which give the same ids and the same
text. The ONNX form is in `keras_s2s.export`.

| file | holds |
|---|---|
| `trainer.py` | `train_tokenizer`: from lines of text to a tokenizer |
| `subword_sampling.py` | `SubwordSampling`: another segmentation of the same text each time |
| `subword.py` | `SentencePieceTokenizer` |
| `vocabulary.py` | `CharTokenizer` and `WordTokenizer` |
| `tokenizer.py` | `Tokenizer`, the base class with the rules of all forms; `valid_text` |
| `graph_modules.py` | the TensorFlow form of the tokenizers |
| `special_ids.py` | the ids of padding, unknown, start and end |

Imports run downwards in this table.
"""

from keras_s2s.text.subword import SentencePieceTokenizer
from keras_s2s.text.subword_sampling import SubwordSampling
from keras_s2s.text.tokenizer import Tokenizer, valid_text
from keras_s2s.text.trainer import train_tokenizer
from keras_s2s.text.vocabulary import CharTokenizer, WordTokenizer

__all__ = [
    "CharTokenizer",
    "SentencePieceTokenizer",
    "SubwordSampling",
    "Tokenizer",
    "WordTokenizer",
    "train_tokenizer",
    "valid_text",
]
