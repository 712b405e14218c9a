"""Recipes, which reproduce published tasks with one command each, and the quickstart.

A recipe is a file `recipe.toml` that describes trainings and evaluations. The quickstart trains on
dates that it generates itself, so that it needs no data.

- `recipe`: reads `recipe.toml`, and makes the settings of each training.
- `run`: trains and scores everything in a recipe, and writes the results as JSON.
- `evaluation`: decodes the test texts of a recipe and computes the metrics.
- `table`: presents the results as a table in Markdown, and as two plots.
- `quickstart`: trains on dates, scores, exports and verifies a model, and plots its attention.
- `dates`: generates dates as people write them, with their ISO 8601 answers.
"""
