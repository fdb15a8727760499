"""From a text to the words of a model: fastai's text rules, its tokenizers and a checkpoint's vocabulary."""
