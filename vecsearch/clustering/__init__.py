"""Clusters of the documents of an index: made, described, kept with it, and shown on a map."""

from vecsearch.clustering.duplicates import Pair, duplicates
from vecsearch.clustering.fit import WAYS, Settings, assign, cluster, nearest_clusters, sizes

__all__ = ["WAYS", "Pair", "Settings", "assign", "cluster", "duplicates", "nearest_clusters", "sizes"]
