"""Other services for benchmarks/serving.py to ask, which starts them: an app of a few lines by FastAPI, and txtai's own API.

    python benchmarks/serving_peers.py fastapi INDEX
    python benchmarks/serving_peers.py txtai INDEX MODEL

Prints an address once it listens there. The first encodes a text with the encoder of INDEX, as is done where nobody thinks of
batches. The second searches the same texts, encoded with the sentence transformer in MODEL, which are kept in the folder that
TXTAI names, so that the next start need not encode them again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import BaseModel

from vecsearch import Index
from vecsearch.serving.server import listen


class Asked(BaseModel):
    """A request for embeddings, so far as the first one reads it."""

    model: str
    input: str


def fastapi(index: str) -> Any:
    from fastapi import FastAPI

    app, encoder = FastAPI(), Index.open(index).encoder

    @app.post("/v1/embeddings")
    def embed(asked: Asked) -> dict[str, Any]:
        vector = encoder.encode([asked.input])[0].tolist()
        return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": vector}], "model": asked.model}

    return app


def txtai(index: str, model: str) -> Any:
    from txtai import Embeddings

    folder = Path(os.environ.get("TXTAI") or tempfile.mkdtemp()) / "index"
    if not folder.exists():
        with Index.open(index) as opened:
            texts = [(document.id, document.text, None) for document in opened.documents(opened.document_rows())]
        embeddings = Embeddings(path=model, content=True)
        embeddings.index(texts)
        embeddings.save(str(folder))
    config = folder.parent / "config.yml"
    config.write_text(f"path: {folder}\nwritable: false\nembeddings:\n  path: {model}\n  content: true\n")
    os.environ["CONFIG"] = str(config)
    from txtai.api.application import app  # reads it when it is started

    return app


def main() -> None:
    what, *arguments = sys.argv[1:]
    app = {"fastapi": fastapi, "txtai": txtai}[what](*arguments)
    path = {"fastapi": "/v1/embeddings", "txtai": "/search"}[what]
    with listen("127.0.0.1", 0) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}{path}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listening])


if __name__ == "__main__":
    main()
