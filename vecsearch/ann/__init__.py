"""Nearest neighbours: everything that touches FAISS."""

from vecsearch.ann.approximate import EXACT, ApproximateSearcher, build, check_spec
from vecsearch.ann.exact import ExactSearcher, merge

__all__ = ["EXACT", "ApproximateSearcher", "ExactSearcher", "build", "check_spec", "merge"]
