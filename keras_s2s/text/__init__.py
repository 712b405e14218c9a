"""Text to ids and back: SentencePiece, character and word tokenizers.

The Python, TensorFlow and ONNX forms of a tokenizer give the same ids and the same text.

`tokenizer` holds what they share, `subword` and `vocabulary` the classes, `sampling` draws other
segmentations, `training` makes tokenizers from text, `graph` is their TensorFlow form. The ONNX
form is `keras_s2s.export.strings`.
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
