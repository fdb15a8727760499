"""What a service takes on, so that no request, and no number of them, can stop it."""

from __future__ import annotations

from dataclasses import dataclass

QUERIES = 64
"""Queries of one request at the most, and of one batch."""
CHARACTERS = 10_000
"""Characters of a query, and of a condition."""
DEEPEST = 1_000
"""k + offset at the most: what lies deeper is found by a narrower question."""
FACETS = 10
"""Fields whose values are counted in one request."""
CLOSELY = 100
"""Hits of one request that are looked at word by word, for `explain` and `snippets`: each takes milliseconds."""
INPUTS = 2_048
"""Texts of one request for embeddings, as many as OpenAI's own takes."""
INPUT_CHARACTERS = 32_768
"""Characters of a text to embed: about as many as a batch has tokens for."""
HEAD_BYTES = 64 << 10
"""Bytes of a request's line and headers."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Those that whoever starts a service may set. Times are in seconds."""

    body_bytes: int = 1 << 20
    queue: int = 256
    """Queries that are worked on or wait."""
    batch: int = QUERIES
    """Queries that are answered together; with 1 each is answered alone."""
    batch_tokens: int = 8_192
    deadline: float = 10.0
    """From a request's arrival to its answer."""
    condition: float = 1.0
    """For resolving one `where`."""
    sending: float = 10.0
    """For a request to arrive, with all of its body."""
    ending: float = 10.0
    """For finishing what was accepted, once the service is told to end."""
