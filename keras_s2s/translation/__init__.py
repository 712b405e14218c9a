"""Translation of texts with a trained model, and the file that holds the translator.

- `translator`: `Translator`, a model with its tokenizers and search, from texts to texts.
- `results`: `Translation` and `Alignment`, the results of a translator, made from search results.
- `constraints`: prefixes, forbidden phrases and required phrases of an output, in words.
- `unknowns`: replacement of unknown tokens by the source words that they attended to most.
- `minimum_bayes_risk`: a choice of the hypothesis that agrees most with the others of its text.
- `scoring`: log-probabilities and perplexity of given targets under a model.
- `combination`: several translators made into one, by an ensemble or by averaging weights.
- `archive`: the `.keras` file of a translator: finding, loading and saving it.
- `compact`: `.keras` files a quarter of the size, with weight matrices stored in 8 bits.
"""
