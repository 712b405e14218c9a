"""The command that reproduces a published task: `recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_s2s.cli.terminal import console, quiet_start, say
from keras_s2s.recipes.recipe import find_recipe, read_recipe, settings_of
from keras_s2s.recipes.run import run_recipe
from keras_s2s.recipes.table import plots, table
from keras_s2s.system.files import write_text

TABLE = "table.md"


def recipe(
    name: Annotated[
        str,
        typer.Argument(help="Name of a folder in recipes/, or the path of your own recipe."),
    ],
    data: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Folder with the data of the recipe.")
    ],
    output: Annotated[Path, typer.Option(help="Folder that receives models, scores and a table.")],
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="Run to train, in place of all runs. This option may be given several times."
        ),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            help="Seed that replaces those of the recipe. This option may be given several times.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Largest number of epochs, which shortens trainings.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(min=1, help="Number of training pairs to read, which shortens trainings."),
    ] = None,
) -> None:
    """Train and score the models of a published task, and print the table of results.

    Finished runs in the output folder are not repeated, and a training that was killed goes on.
    """
    published = read_recipe(find_recipe(name))
    for name_of_run in run or published.runs:
        if name_of_run in published.runs:
            settings_of(published, name_of_run, 0, data, output)  # before the wait for TensorFlow
    with quiet_start():
        from keras_s2s.training import run as training  # noqa: F401 - Keras, with its notices
    try:
        results = run_recipe(
            published,
            data,
            output,
            runs=run or (),
            seeds=seed or (),
            epochs=epochs,
            pairs=pairs,
            say=say,
            console=console,
        )
    except KeyboardInterrupt:
        say("interrupted; the same command goes on")
        raise typer.Exit(130) from None
    text = table(published, results)
    write_text(output / TABLE, text)
    plots(published, results, output)
    print(text)
