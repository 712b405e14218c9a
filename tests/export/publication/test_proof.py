"""Trained models give the tokens of Keras in every runtime, on real words and captions.

For at least 100 held-out sentences, the tokens of Keras must come from the SavedModel in Python,
through the C API, merged, over REST and with the libraries of TensorFlow 2.20, and from ONNX
Runtime and onnxruntime-web.
"""

from pathlib import Path

import pytest

from keras_s2s.export import export_translator, verify_export
from keras_s2s.export.onnx.specs import ids_graph, onnx_text_spec
from keras_s2s.export.parity.comparison import compare, compare_on
from keras_s2s.export.parity.expectation import SERVED_BY, read_expected
from keras_s2s.export.runtimes.artefacts import Artefact
from keras_s2s.export.saved_model.version import replay_warmup
from keras_s2s.export.serving.process import RemoteSession
from keras_s2s.export.specs.arrays import as_bytes
from keras_s2s.search import BeamSearch
from keras_s2s.training.run import train
from keras_s2s.training.settings.settings import TrainingSettings
from keras_s2s.translation.archive import load_translator
from keras_s2s.translation.translator import Translator
from support.served import late_libraries
from support.web import web_run

pytestmark = [pytest.mark.corpora, pytest.mark.slow]

HELD_OUT = 120


def pairs_of(corpora: Path, kind: str) -> list[str]:
    """Lines of source, tab, target."""
    if kind == "letters":
        return (corpora / "cmudict_g2p/train.tsv").read_text(encoding="utf-8").splitlines()[::28]
    raw = corpora / "multi30k" / "raw"
    sides = (
        (raw / f"train.{end}").read_text(encoding="utf-8").splitlines() for end in ("en", "de")
    )
    return ["\t".join(pair) for pair in zip(*sides, strict=True)][::4]


def trained(corpora: Path, kind: str, folder: Path) -> tuple[Translator, list[str]]:
    """A small model, and sentences that it was not trained on."""
    lines = pairs_of(corpora, kind)
    held_out, rest = lines[:HELD_OUT], lines[HELD_OUT:]
    for name, chosen in (("val", held_out), ("train", rest)):
        (folder / f"{name}.tsv").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    tokens = {
        "letters": {"source_tokenizer": "char", "target_tokenizer": "word", "epochs": 3},
        "captions": {
            "source_tokenizer": "bpe",
            "target_tokenizer": "unigram",
            "source_vocabulary_size": 1000,
            "target_vocabulary_size": 1000,
            "epochs": 12,
        },
    }[kind]
    settings = TrainingSettings(
        output=str(folder / "model"),
        data=str(folder / "train.tsv"),
        val_data=str(folder / "val.tsv"),
        embedding_size=64,
        units=128,
        dropout=0.1,
        batch_size=32,
        learning_rate=4e-3,
        max_source_length=40,
        max_target_length=40,
        **tokens,  # type: ignore[arg-type]
    )
    result = train(settings)
    assert result.history[-1]["val_perplexity"] < result.history[0]["val_perplexity"]
    translator = load_translator(result.path)
    translator.search = BeamSearch(4, max_length=40)
    return translator, [line.split("\t")[0] for line in held_out]


@pytest.mark.parametrize("kind", ["letters", "captions"])
def test_every_way_to_run_a_trained_model_gives_kerass_tokens(
    corpora: Path, tmp_path: Path, tensorflow_2_20: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    translator, sentences = trained(corpora, kind, tmp_path)
    output = tmp_path / kind

    report = export_translator(translator, output, sentences=sentences)

    assert report.parity.passed
    assert len(set(translator(sentences))) > HELD_OUT / 4  # it says something
    for comparison in report.parity.comparisons:
        if comparison.batch_size is not None:
            assert comparison.equal == comparison.sentences >= HELD_OUT
    names = {comparison.artefact for comparison in report.parity.comparisons}
    for runtime in SERVED_BY:
        assert any(f"({runtime})" in name for name in names)
    assert any(name.startswith("onnx/model.onnx") for name in names)

    assert verify_export(output, translator=translator).failures() == []

    # The nearest there is to a stock TensorFlow Serving 2.20.
    assert report.saved_model is not None
    expected = read_expected(output)
    with RemoteSession(report.saved_model, tensorflow_2_20, late_libraries("2.20")) as session:
        assert session.version == "2.20.0"
        assert replay_warmup(session, report.saved_model) == 16
        for origin, task in expected.artefacts:
            if origin.runtime != "C API":
                continue
            artefact = Artefact(
                str(origin),
                lambda batches, name=origin.signature: [session.run(name, b) for b in batches],
                encode=as_bytes,
            )
            for comparison in compare_on(expected.tasks[task], artefact):
                assert comparison.passed, str(comparison)

    # In a browser's runtime, which has no operators for SentencePiece. Last, because it is skipped
    # where Node is not installed.
    web = request.getfixturevalue("web")
    specs = {"model.ids.onnx": ids_graph(translator, "ids", translator.search).spec}
    if kind == "letters":
        specs["model.onnx"] = onnx_text_spec(translator)
    in_browser = [
        Artefact(
            name,
            web_run(output / "onnx" / name, web),
            ids=("ids", translator.search) if name == "model.ids.onnx" else None,
            spec=spec,
        )
        for name, spec in specs.items()
    ]
    found = compare(translator, in_browser, sentences)
    assert set(specs) <= {comparison.artefact for comparison in found}
    assert [str(comparison) for comparison in found if not comparison.passed] == []
