"""Translation: from text to text with a trained model, and the file that holds the translator.

- `translator`: `Translator`, a model with its tokenizers and search: texts in, texts out.
- `results`: `Translation` and `Alignment`, what a translator returns, made from search results.
- `constraints`: what an output must begin with, may not contain and must contain, in words.
- `unknowns`: replacement of unknown tokens by the source words that they attended to most.
- `minimum_bayes_risk`: a choice of the hypothesis that agrees most with the others of its text.
- `scoring`: log-probabilities and perplexity of given targets under a model.
- `combination`: several translators made into one, by an ensemble or by averaging weights.
- `archive`: the `.keras` file of a translator: finding, loading and saving it.
- `compact`: `.keras` files a quarter of the size, with weight matrices stored in 8 bits.
"""
