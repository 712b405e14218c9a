"""Makes english-g2p/ from the translator that `keras-s2s recipe cmudict` trained.

    python saved_models/make_english_g2p.py RUNS/lstm-1/translator.keras DATA/cmudict_g2p/dev.tsv

CMUdict is in capitals. The committed model reads small letters too, as the same letters.
"""

from __future__ import annotations

from pathlib import Path

import typer

from keras_s2s.data.reading import group_references, read_tsv
from keras_s2s.evaluation.metrics import phone_error_rate, word_error_rate
from keras_s2s.export.onnx.files import write_int8
from keras_s2s.export.parity.quality import outputs_of
from keras_s2s.models.seq2seq import Seq2Seq
from keras_s2s.system.files import write_json
from keras_s2s.text import CharTokenizer
from keras_s2s.translation.archive import load_translator, save_translator
from keras_s2s.translation.compact import write_compact
from keras_s2s.translation.translator import Translator

OUTPUT = Path(__file__).resolve().parent / "english-g2p"


def main(model: Path, dev: Path) -> None:
    """Writes both files, scores them on the development words, and writes the scores."""
    OUTPUT.mkdir(exist_ok=True)
    file, onnx = OUTPUT / "translator.keras", OUTPUT / "model.int8.onnx"
    translator = in_both_cases(load_translator(model))
    save_translator(translator, file)
    write_compact(file, file)
    translator = load_translator(file)
    write_int8(translator, onnx)
    sources, references = group_references(read_tsv(dev))
    scores = {}
    for path, outputs in (
        (file, translator(sources, batch_size=64)),
        (onnx, outputs_of(onnx, sources)),
    ):
        scores[path.name] = {
            "bytes": path.stat().st_size,
            "words": len(sources),
            "wer": round(100 * word_error_rate(outputs, references).value, 2),
            "per": round(100 * phone_error_rate(outputs, references).value, 2),
        }
    write_json(OUTPUT / "scores.json", scores)
    print(scores)


def in_both_cases(translator: Translator) -> Translator:
    """Returns the translator with small letters in its source, embedded as the capitals are."""
    letters = translator.source_tokenizer.vocabulary
    small = [letter.lower() for letter in letters if letter.lower() not in letters]
    tokenizer = CharTokenizer([*letters, *small])
    (capitals,) = translator.source_tokenizer.encode(["".join(small).upper()])

    config = translator.model.get_config()
    config["encoder"]["config"]["vocabulary_size"] = tokenizer.vocabulary_size
    model = Seq2Seq.from_config(config)
    model.build()
    for variable, trained in zip(model.weights, translator.model.weights, strict=True):
        value = trained.numpy()
        if variable is model.encoder.embedding.embeddings:
            value = value[[*range(len(value)), *capitals]]
        variable.assign(value)
    return Translator(
        model,
        tokenizer,
        translator.target_tokenizer,
        search=translator.search,
        max_source_length=translator.max_source_length,
    )


if __name__ == "__main__":
    typer.run(main)
