"""Reads parallel text and makes batches of ids from it.

- `reading`: Reads text files as lines, as pairs of lines and as test sets with references.
- `corpus`: The corpus, which tokenises and filters parallel text once and batches it every epoch.
- `filtering`: Tokenises pairs, leaves out those that training cannot use, and counts them.
- `pairs`: Holds pairs of id lists and makes padded batches of them.
- `padding`: Joins rows of ids into one rectangular array.
- `batches`: Decides which pairs share a batch in every epoch, by their lengths.
- `length_order`: Sorts the pairs of a corpus by their lengths.
- `flat_arrays`: Arrays of whole numbers that grow, in memory or in a file.
- `resampling`: Segments the texts of a batch anew in every epoch.
- `shapes`: Pads batches to few shapes, for backends that compile for each shape.
- `dataset`: Hands the batches of one epoch after the other to `tf.data`.
- `hosts`: Shares every batch among the processes that train one model together.
- `word_vectors`: Loads pretrained embeddings from a file of word2vec or GloVe.
"""
