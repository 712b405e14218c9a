"""Verifies an exported folder again: everything that was proven when it was exported.

Needs no Keras model: the inputs and what Keras gave for them stand in the folder. With the model
it is asked once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from keras_s2s.export.errors import ExportError
from keras_s2s.export.parity.comparison import compare_on, compare_row
from keras_s2s.export.parity.expectation import SERVED_BY, Expectation, read_expected
from keras_s2s.export.parity.reference import BATCH_SIZE
from keras_s2s.export.parity.report import Comparison, ParityReport
from keras_s2s.export.runtimes.runtimes import Runtimes, runtimes_below
from keras_s2s.export.saved_model.version import replay_warmup
from keras_s2s.export.serving.registry import check_operators, check_server
from keras_s2s.translation.translator import Translator

Progress = Callable[[str], None]


def verify_export(
    folder: str | Path,
    *,
    translator: Translator | None = None,
    server: str | None = None,
    progress: Progress | None = None,
) -> ParityReport:
    """Verifies what `export_translator` published.

    1. Every SavedModel: operators and attributes against a TensorFlow Serving, and the warm-up
       requests, replayed.
    2. Every artefact, in every runtime: outputs for the stored inputs, in batches of 1, 7 and 32
       and of other shapes, against what Keras gave.
    3. With a translator: what Keras gives now against what it gave.

    Args:
        folder: the exported folder.
        translator: the model that was exported, to ask Keras again.
        server: version of TensorFlow Serving; the one it was exported for when omitted.
        progress: called with what is done next.

    Returns:
        A report; `passed` tells whether all is as it was.

    Raises:
        FileNotFoundError: If the folder does not hold what an export wrote.
        ExportError: If that is damaged.
        ValueError: If nothing is known of that server.
    """
    folder = Path(folder)
    expected = read_expected(folder)
    if server is not None:
        check_server(server)
        expected = expected._replace(server=server)
    tell = progress or (lambda message: None)
    comparisons: list[Comparison] = []
    if translator is not None:
        tell("Asking Keras again")
        comparisons += _keras(expected, translator)
    with runtimes_below(folder) as runtimes:
        comparisons += _versions(expected, runtimes, tell)
        for origin, task in expected.artefacts:
            tell(f"Comparing {origin}")
            comparisons += compare_on(expected.tasks[task], runtimes.artefact(origin, task))
    count = max((len(task.sources) for task in expected.tasks.values()), default=0)
    return ParityReport({"count": count, "given": count}, comparisons, {}, 0.0)


def _keras(expected: Expectation, translator: Translator) -> Iterator[Comparison]:
    """What Keras gives, compared with what it gave."""
    for name, task in expected.tasks.items():
        comparison = Comparison(f"keras ({name})", BATCH_SIZE)
        for place, found in enumerate(task.again(translator).expected):
            compare_row(task, comparison, place, found)
        yield comparison


def _versions(expected: Expectation, runtimes: Runtimes, tell: Progress) -> Iterator[Comparison]:
    """Operators and warm-up requests of every SavedModel."""
    served = {origin.path for origin, _ in expected.artefacts if origin.runtime in SERVED_BY}
    for path in sorted(served):
        tell(f"Checking {path}")
        folder = runtimes.folder / path
        yield _checked(
            f"{path}: operators of TensorFlow Serving {expected.server}",
            partial(check_operators, folder, expected.server),
        )
        yield _checked(
            f"{path}: warm-up requests",
            partial(_warm_up, runtimes, path),
        )


def _warm_up(runtimes: Runtimes, path: str) -> None:
    replay_warmup(runtimes.session(path), runtimes.folder / path)


def _checked(name: str, check: Callable[[], object]) -> Comparison:
    """A check that raises ExportError or not, as a comparison."""
    comparison = Comparison(name, None)
    try:
        check()
    except (ExportError, OSError, ValueError) as error:
        comparison.objections.append(str(error))
    return comparison
