"""The commands that hand a model on: `export`, and `verify`, which checks an export again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_s2s.cli import options
from keras_s2s.cli.models import check_models, load_models
from keras_s2s.cli.options import ArgumentError, file_option
from keras_s2s.cli.terminal import quiet_start, say
from keras_s2s.training.folder import best_epoch

FORMATS = {"serving", "onnx", "triton"}

Output = Annotated[
    Path, typer.Option(help="Folder that receives the export, in serving/, onnx/ and triton/.")
]
Formats = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Formats to write, among serving, onnx and triton, with commas between them.",
    ),
]
ServingName = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Name of the served model, as in serving/NAME/VERSION. Default: the folder's name.",
    ),
]
Version = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of the served version, as in serving/NAME/VERSION. Default: one more than the "
        "highest version in the folder.",
    ),
]
ServedBeam = Annotated[
    int | None,
    typer.Option(
        "--beam",
        min=1,
        help="Number of hypotheses of the exported beam search. Default: as saved with the model, "
        "or 5 for a model without a beam.",
    ),
]
OldestServer = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="VERSION",
        help="Oldest version of TensorFlow Serving that should load the export. An operator that "
        "it lacks is an error.",
    ),
]
Sentences = Annotated[
    Path | None,
    file_option(
        help="File with sentences for the comparison with Keras, one on each line. Default: random "
        "sentences from the vocabulary."
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="int8",
        help="Write each ONNX model with weights of 8 bits too. The value must be int8.",
    ),
]
Int8References = Annotated[
    Path | None,
    file_option(
        "--references",
        help="File whose line n is the reference of line n of --sentences, to measure the int8 "
        "models.",
    ),
]
Int8Drop = Annotated[
    float,
    typer.Option(
        metavar="POINTS",
        help="Largest loss of BLEU or exact match that int8 models may have, in points from 0 to "
        "100. inf allows any loss.",
    ),
]
ExportedFolder = Annotated[
    Path, typer.Argument(help="Folder that keras-s2s export wrote.", metavar="DIR")
]
OriginalModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Translator that was exported. Keras computes its outputs anew. Default: compare "
        "with the outputs that were recorded with the export.",
    ),
]
NewServer = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="VERSION",
        help="Version of TensorFlow Serving that must load the export. Default: the version that "
        "the export was made for.",
    ),
]


def export(
    model: options.Model,
    output: Output,
    formats: Formats = "serving,onnx,triton",
    name: ServingName = None,
    version: Version = None,
    beam: ServedBeam = None,
    server: OldestServer = "2.20",
    sentences: Sentences = None,
    quantize: Quantization = None,
    references: Int8References = None,
    int8_drop: Int8Drop = 1.0,
    force: options.Force = False,
) -> None:
    """Export a model to SavedModel and ONNX, if all outputs equal those of Keras.

    The export is first written to a temporary folder and compared. If anything differs, nothing is
    published.
    """
    from keras_s2s.data.reading import read_lines

    chosen = [part.strip() for part in formats.split(",")]
    if not set(chosen) <= FORMATS:
        raise ArgumentError(f"--formats must be of serving, onnx and triton; got {formats!r}.")
    if quantize not in (None, "int8"):
        raise ArgumentError(f"--quantize must be int8; got {quantize!r}.")
    check_models(model)
    texts, reference_texts = (
        None if path is None else list(read_lines(path)) for path in (sentences, references)
    )
    with quiet_start():
        from keras_s2s.export import export_translator
    report = export_translator(
        load_models(model),
        output,
        name=name,
        version=version,
        formats=chosen,
        beam=beam,
        server=server,
        sentences=texts,
        quantize=quantize,
        references=reference_texts,
        int8_drop=int8_drop,
        training=best_epoch(model),
        force=force,
        progress=say,
    )
    print(report)


def verify(
    folder: ExportedFolder,
    model: OriginalModel = None,
    server: NewServer = None,
) -> None:
    """Compare the outputs of an exported folder with those of Keras once more.

    The exit code is 0 if everything is equal, and 1 if anything differs.
    """
    from keras_s2s.export.parity.record import expected_file

    expected_file(folder)
    if model is not None:
        check_models(model)
    with quiet_start():
        from keras_s2s.export import ParityError, verify_export
        from keras_s2s.export.guide.parity_table import comparison_table
    report = verify_export(
        folder,
        translator=None if model is None else load_models(model),
        server=server,
        progress=say,
    )
    print("\n".join(comparison_table(report.comparisons)))
    failures = report.failures()
    if failures:
        raise ParityError(
            f"{len(failures)} of {len(report.comparisons)} checks failed: {'; '.join(failures)}"
        )
