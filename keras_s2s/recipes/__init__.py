"""Recipes: published tasks, from an empty folder to a table of results, and the quickstart.

- `dates`: Dates as people write them, with their ISO 8601 answers: a corpus made by code.
- `evaluation`: What a recipe scores of a translator: its outputs on the test text, and their
  metrics.
- `quickstart`: The quickstart: the whole road on a task that needs no download, human dates to
  ISO dates.
- `recipe`: Recipes: published tasks as one short file each, trained and scored by one command.
- `run`: Runs a recipe: trains, averages, makes ensembles, and writes what came out as JSON.
- `table`: What a recipe's results look like: one table in Markdown, and its plots.
"""
