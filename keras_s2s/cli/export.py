"""The commands that hand a model on: `export`, and `verify` for what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_s2s.cli import options
from keras_s2s.cli.models import check_models, load_models
from keras_s2s.cli.options import ArgumentError
from keras_s2s.cli.terminal import quiet_start, say
from keras_s2s.training.folder import best_epoch

FORMATS = {"serving", "onnx", "triton"}


def export(
    model: options.Model,
    output: Annotated[
        Path, typer.Option(help="Folder that receives the export, in serving/ and onnx/.")
    ],
    formats: options.Formats = "serving,onnx,triton",
    name: options.ServingName = None,
    version: options.Version = None,
    beam: options.ServedBeam = None,
    server: options.Server = "2.20",
    sentences: options.Sentences = None,
    quantize: options.Quantization = None,
    references: options.Int8References = None,
    int8_drop: options.Int8Drop = 1.0,
    force: options.Force = False,
) -> None:
    """Export to SavedModel and ONNX; kept only if all of it gives the same outputs as Keras."""
    from keras_s2s.data.reading import read_lines

    chosen = [part.strip() for part in formats.split(",")]
    if not set(chosen) <= FORMATS:
        raise ArgumentError(f"--formats must be of serving, onnx and triton; got {formats!r}.")
    if quantize not in (None, "int8"):
        raise ArgumentError(f"--quantize must be int8; got {quantize!r}.")
    check_models(model)
    texts, wanted = (
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
        references=wanted,
        int8_drop=int8_drop,
        training=best_epoch(model),
        force=force,
        progress=say,
    )
    print(report)


def verify(
    folder: Annotated[
        Path, typer.Argument(help="Folder that the command export wrote.", metavar="DIR")
    ],
    model: options.OriginalModel = None,
    server: options.NewServer = None,
) -> None:
    """Prove an exported folder once more: exit code 0 if all is equal, 1 if anything is not."""
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
