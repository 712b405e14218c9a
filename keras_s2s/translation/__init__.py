"""Translation: from text to text with a trained model, and the file that holds it.

- `archive`: The file of a translator: how it is found, loaded and saved.
- `combination`: Several translators as one: an ensemble of their models, or one model with their
  mean weights.
- `compact`: Translators in a quarter of the space: weight matrices stored in 8 bits, computed in
  float32.
- `constraints`: What the output for a text must begin with, must not say and must say, in words.
- `minimum_bayes_risk`: Minimum Bayes risk: of several hypotheses, the one that agrees most with
  the others.
- `results`: What a translator says of a text, and how a search result becomes it.
- `scoring`: Scores of given targets: how probable a model finds them, token by token.
- `translator`: Translator: strings → ids → search → ids → strings. One `.keras` file holds all of
  it.
- `unknowns`: Unknown tokens of an output, replaced by what they looked at in the source.
"""
