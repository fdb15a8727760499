"""Work by several processes, on this machine or on a cluster.

from vecsearch.distributed import Pool, RayEngine, build

with Pool(8) as engine:  # or RayEngine("ray-head:6379")
    index = build("indexes/films", read_corpus("films.jsonl"), open_encoder(), engine=engine)
"""

from __future__ import annotations

from vecsearch.distributed.building import build
from vecsearch.distributed.compacting import compact
from vecsearch.distributed.pool import Pool
from vecsearch.distributed.ray_engine import RayEngine
from vecsearch.distributed.scoring import score_files

__all__ = ["Pool", "RayEngine", "build", "compact", "score_files"]
