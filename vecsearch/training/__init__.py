"""Encoders that are trained on your texts: a language model, and what of it makes similar texts similar vectors."""
