"""Recurrent sequence-to-sequence models with attention for Keras 3: train, decode, export."""

from __future__ import annotations

import importlib
import sys
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import wrapt

from keras_s2s.system import allocation as allocation
from keras_s2s.system.allocation import keep_freed_memory as keep_freed_memory
from keras_s2s.system.version import __version__ as __version__

if TYPE_CHECKING:
    from keras_s2s.adam import FusedAdam as FusedAdam
    from keras_s2s.archive import load_translator as load_translator
    from keras_s2s.attention import Attention as Attention
    from keras_s2s.attention import ConcatScore as ConcatScore
    from keras_s2s.attention import CoverageScore as CoverageScore
    from keras_s2s.attention import DotScore as DotScore
    from keras_s2s.attention import Encoded as Encoded
    from keras_s2s.attention import GeneralScore as GeneralScore
    from keras_s2s.attention import Hardmax as Hardmax
    from keras_s2s.attention import LocalMonotonicWindow as LocalMonotonicWindow
    from keras_s2s.attention import LocalPredictiveWindow as LocalPredictiveWindow
    from keras_s2s.attention import LocationScore as LocationScore
    from keras_s2s.attention import Memory as Memory
    from keras_s2s.attention import Monotonic as Monotonic
    from keras_s2s.attention import MultiHeadAttention as MultiHeadAttention
    from keras_s2s.attention import NormalizedConcatScore as NormalizedConcatScore
    from keras_s2s.attention import Probability as Probability
    from keras_s2s.attention import ScaledDotScore as ScaledDotScore
    from keras_s2s.attention import ScaledGeneralScore as ScaledGeneralScore
    from keras_s2s.attention import Score as Score
    from keras_s2s.attention import SeveralAttentions as SeveralAttentions
    from keras_s2s.attention import Softmax as Softmax
    from keras_s2s.attention import Sparsemax as Sparsemax
    from keras_s2s.bridge import CopyBridge as CopyBridge
    from keras_s2s.bridge import DenseBridge as DenseBridge
    from keras_s2s.bridge import MeanBridge as MeanBridge
    from keras_s2s.bridge import ZeroBridge as ZeroBridge
    from keras_s2s.combination import average_translators as average_translators
    from keras_s2s.combination import ensemble_translators as ensemble_translators
    from keras_s2s.constraints import Constraints as Constraints
    from keras_s2s.corpus import Corpus as Corpus
    from keras_s2s.cudnn import CudnnWarning as CudnnWarning
    from keras_s2s.decoded import BLEU as BLEU
    from keras_s2s.decoded import PER as PER
    from keras_s2s.decoded import WER as WER
    from keras_s2s.decoded import ChrF as ChrF
    from keras_s2s.decoded import DecodedMetric as DecodedMetric
    from keras_s2s.decoded import DecodedValidation as DecodedValidation
    from keras_s2s.decoded import ExactMatch as ExactMatch
    from keras_s2s.decoder import Decoder as Decoder
    from keras_s2s.distillation import distilled as distilled
    from keras_s2s.embeddings import load_embedding as load_embedding
    from keras_s2s.encoder import Encoder as Encoder
    from keras_s2s.ensemble import Ensemble as Ensemble
    from keras_s2s.hosts import Hosts as Hosts
    from keras_s2s.inference import InferenceModel as InferenceModel
    from keras_s2s.joining import join_hosts as join_hosts
    from keras_s2s.losses import GuidedAlignment as GuidedAlignment
    from keras_s2s.losses import SampledTokenCrossEntropy as SampledTokenCrossEntropy
    from keras_s2s.losses import TokenCrossEntropy as TokenCrossEntropy
    from keras_s2s.metrics import Perplexity as Perplexity
    from keras_s2s.metrics import TokenAccuracy as TokenAccuracy
    from keras_s2s.migration import load_tfa_decoder as load_tfa_decoder
    from keras_s2s.model import Seq2Seq as Seq2Seq
    from keras_s2s.moving_average import EvaluateMovingAverage as EvaluateMovingAverage
    from keras_s2s.moving_average import averaged_weights as averaged_weights
    from keras_s2s.rates import InverseSquareRoot as InverseSquareRoot
    from keras_s2s.rates import WarmupExponential as WarmupExponential
    from keras_s2s.recurrent import GRU as GRU
    from keras_s2s.recurrent import LSTM as LSTM
    from keras_s2s.recurrent import LayerNormLSTM as LayerNormLSTM
    from keras_s2s.recurrent import named_cell as named_cell
    from keras_s2s.regularized_dropout import RegularizedDropout as RegularizedDropout
    from keras_s2s.retraces import RetraceWarning as RetraceWarning
    from keras_s2s.risk import MinimumBayesRisk as MinimumBayesRisk
    from keras_s2s.schedules import ConstantSchedule as ConstantSchedule
    from keras_s2s.schedules import ExponentialSchedule as ExponentialSchedule
    from keras_s2s.schedules import InverseSigmoidSchedule as InverseSigmoidSchedule
    from keras_s2s.schedules import LinearSchedule as LinearSchedule
    from keras_s2s.scoring import TargetScore as TargetScore
    from keras_s2s.search import GNMT as GNMT
    from keras_s2s.search import TFA as TFA
    from keras_s2s.search import BeamSearch as BeamSearch
    from keras_s2s.search import CoveragePenalty as CoveragePenalty
    from keras_s2s.search import DiverseBeamSearch as DiverseBeamSearch
    from keras_s2s.search import GNMTCoverage as GNMTCoverage
    from keras_s2s.search import GoogleSeq2Seq as GoogleSeq2Seq
    from keras_s2s.search import GreedySearch as GreedySearch
    from keras_s2s.search import JoeyNMT as JoeyNMT
    from keras_s2s.search import LengthPenalty as LengthPenalty
    from keras_s2s.search import Marian as Marian
    from keras_s2s.search import NoPenalty as NoPenalty
    from keras_s2s.search import OpenNMTtf as OpenNMTtf
    from keras_s2s.search import SamplingSearch as SamplingSearch
    from keras_s2s.search import Search as Search
    from keras_s2s.search import SearchResult as SearchResult
    from keras_s2s.search import Sockeye as Sockeye
    from keras_s2s.search import TFABeamSearch as TFABeamSearch
    from keras_s2s.search import TFAResult as TFAResult
    from keras_s2s.search import length_penalty as length_penalty
    from keras_s2s.search import named_penalty as named_penalty
    from keras_s2s.text import CharTokenizer as CharTokenizer
    from keras_s2s.text import SentencePieceTokenizer as SentencePieceTokenizer
    from keras_s2s.text import SubwordSampling as SubwordSampling
    from keras_s2s.text import Tokenizer as Tokenizer
    from keras_s2s.text import WordTokenizer as WordTokenizer
    from keras_s2s.text import train_tokenizer as train_tokenizer
    from keras_s2s.translation import Alignment as Alignment
    from keras_s2s.translation import Translation as Translation
    from keras_s2s.translator import Translator as Translator
    from keras_s2s.unknowns import UnknownReplacement as UnknownReplacement

# Programs import `keep_freed_memory` from this module too; it needs neither Keras nor TensorFlow.
sys.modules[f"{__name__}.allocation"] = allocation

# Each public name and its module, imported on first use, so that `import keras_s2s` and the command
# line's help and argument errors do not wait for TensorFlow.
_MODULES = {
    "adam": ("FusedAdam",),
    "archive": ("load_translator",),
    "attention": (
        "Attention",
        "ConcatScore",
        "CoverageScore",
        "DotScore",
        "Encoded",
        "GeneralScore",
        "Hardmax",
        "LocalMonotonicWindow",
        "LocalPredictiveWindow",
        "LocationScore",
        "Memory",
        "Monotonic",
        "MultiHeadAttention",
        "NormalizedConcatScore",
        "Probability",
        "ScaledDotScore",
        "ScaledGeneralScore",
        "Score",
        "SeveralAttentions",
        "Softmax",
        "Sparsemax",
    ),
    "bridge": (
        "CopyBridge",
        "DenseBridge",
        "MeanBridge",
        "ZeroBridge",
    ),
    "combination": (
        "average_translators",
        "ensemble_translators",
    ),
    "constraints": ("Constraints",),
    "corpus": ("Corpus",),
    "cudnn": ("CudnnWarning",),
    "hosts": ("Hosts",),
    "inference": ("InferenceModel",),
    "decoded": (
        "BLEU",
        "ChrF",
        "DecodedMetric",
        "DecodedValidation",
        "ExactMatch",
        "PER",
        "WER",
    ),
    "decoder": ("Decoder",),
    "distillation": ("distilled",),
    "embeddings": ("load_embedding",),
    "encoder": ("Encoder",),
    "ensemble": ("Ensemble",),
    "joining": ("join_hosts",),
    "losses": (
        "GuidedAlignment",
        "SampledTokenCrossEntropy",
        "TokenCrossEntropy",
    ),
    "metrics": (
        "Perplexity",
        "TokenAccuracy",
    ),
    "migration": ("load_tfa_decoder",),
    "model": ("Seq2Seq",),
    "moving_average": (
        "EvaluateMovingAverage",
        "averaged_weights",
    ),
    "rates": (
        "InverseSquareRoot",
        "WarmupExponential",
    ),
    "recurrent": (
        "GRU",
        "LSTM",
        "LayerNormLSTM",
        "named_cell",
    ),
    "regularized_dropout": ("RegularizedDropout",),
    "retraces": ("RetraceWarning",),
    "risk": ("MinimumBayesRisk",),
    "schedules": (
        "ConstantSchedule",
        "ExponentialSchedule",
        "InverseSigmoidSchedule",
        "LinearSchedule",
    ),
    "scoring": ("TargetScore",),
    "search": (
        "BeamSearch",
        "CoveragePenalty",
        "DiverseBeamSearch",
        "GNMT",
        "GNMTCoverage",
        "GoogleSeq2Seq",
        "GreedySearch",
        "JoeyNMT",
        "LengthPenalty",
        "Marian",
        "NoPenalty",
        "OpenNMTtf",
        "SamplingSearch",
        "Search",
        "SearchResult",
        "Sockeye",
        "TFABeamSearch",
        "TFAResult",
        "TFA",
        "length_penalty",
        "named_penalty",
    ),
    "text": (
        "CharTokenizer",
        "SentencePieceTokenizer",
        "SubwordSampling",
        "Tokenizer",
        "WordTokenizer",
        "train_tokenizer",
    ),
    "translation": (
        "Alignment",
        "Translation",
    ),
    "translator": ("Translator",),
    "unknowns": ("UnknownReplacement",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted([*_HOMES, "__version__", "keep_freed_memory"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_s2s' has no attribute {name!r}")
    importlib.import_module("keras")  # and with it, all of this package: see below
    return getattr(importlib.import_module(f"keras_s2s.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__


def _register(imported: Any = None) -> None:
    """Imports every module whose classes Keras may have to find in a saved model.

    Keras looks among the registered classes and imports nothing of ours by itself.

    Args:
        imported: the module whose import led here; it is complete.
    """
    # Another of ours that is still being imported asked for it: the others cannot use that yet.
    # None of them uses an exporter.
    unfinished = (
        module is not imported and getattr(module.__spec__, "_initializing", False)
        for name, module in list(sys.modules.items())
        if name.startswith("keras_s2s.") and not name.startswith("keras_s2s.export.")
    )
    if "keras" in sys.modules and not any(unfinished):
        for module in _MODULES:
            importlib.import_module(f"keras_s2s.{module}")


# With Keras, and TensorFlow behind it, there already, nothing is left to wait for; else it happens
# when Keras is imported, or the module of ours that imports it. So a model can be loaded whatever
# was imported first.
if "keras" in sys.modules:
    _register()
else:
    for _name in ("keras", *(f"keras_s2s.{_module.name}" for _module in iter_modules(__path__))):
        wrapt.when_imported(_name)(_register)
