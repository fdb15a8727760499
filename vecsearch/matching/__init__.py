"""Which pairs of texts are matches: pairs scored, and what their scores mean."""
