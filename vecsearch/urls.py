"""URLs of object stores, told from paths."""

from __future__ import annotations

import os
import re

SCHEMES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE", "abfs": "AZURE", "abfss": "AZURE", "file": ""}
"""How they begin, and what the variables of the environment begin with that are about such a store."""
EXAMPLES = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder"
NO_PATH = "in an object store, and a path is needed here: vecsearch pull brings an index into a folder, push takes it back"
"""Why such a URL is refused where there has to be a folder or a file of this machine."""

_URL = re.compile(rf"({'|'.join(SCHEMES)}):/")


def is_store_url(value: object) -> bool:
    """Whether something is the URL of an object store, or was one before it became a path, and no path that there is."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    return isinstance(value, str) and _URL.match(value) is not None and not os.path.lexists(value)
