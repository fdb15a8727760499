"""Word vectors as an encoder: files of word2vec, GloVe and fastText, their memory-mapped folder, texts as means of words."""
