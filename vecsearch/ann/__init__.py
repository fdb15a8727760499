"""Nearest neighbors: everything that touches FAISS."""

from vecsearch.ann.approximate import ApproximateSearcher, open_searcher
from vecsearch.ann.builder import Builder, Goal, Outcome
from vecsearch.ann.construction import construct, write
from vecsearch.ann.exact import ExactSearcher, merge, nearest
from vecsearch.ann.planner import EXACT_NUMBERS
from vecsearch.ann.recall import Recall
from vecsearch.ann.source import Rows
from vecsearch.ann.spec import check_spec, copies
from vecsearch.ann.threads import threads
from vecsearch.ann.truth import ground_truth
from vecsearch.metric import EXACT

__all__ = [
    "EXACT",
    "EXACT_NUMBERS",
    "ApproximateSearcher",
    "Builder",
    "ExactSearcher",
    "Goal",
    "Outcome",
    "Recall",
    "Rows",
    "check_spec",
    "construct",
    "copies",
    "ground_truth",
    "merge",
    "nearest",
    "open_searcher",
    "threads",
    "write",
]
