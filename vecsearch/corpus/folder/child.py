"""The process that reads files for `conversion`: a request in each line of standard input, an answer in each of its output.

It opens the files that it is asked for and nothing else, writes nothing, and takes no more memory than it may.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import stat
import sys
import time
from typing import Any

from vecsearch.corpus.folder.content import Content
from vecsearch.corpus.folder.conversion import EMPTY, Limits
from vecsearch.corpus.folder.formats import FORMATS, Problem, Source
from vecsearch.corpus.values import json_value

TRIES, PAUSE_S = 4, 0.05
"""How often a file is read that changes meanwhile, and seconds between."""
COARSE_NS, FINE_NS = 2_000_000_000, 20_000_000
"""What two changes of a file may be apart and have the same time: where times are whole seconds, and where they are finer."""


def main() -> None:
    limits = Limits(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What a library prints is no answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.setrecursionlimit(5000)
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answer(json.loads(line), limits)).encode() + b"\n")
        answers.flush()


def _answer(request: dict[str, Any], limits: Limits) -> dict[str, Any]:
    state: dict[str, Any] = {}
    try:
        return _read(request, limits, state)
    except Problem as problem:
        return {"problem": str(problem), **state}
    except ModuleNotFoundError as error:
        return {"problem": f"needs {error.name}", **state}
    except OSError as error:
        return {"problem": f"cannot be read ({error.strerror or error})", "passing": True, **state}
    except MemoryError:
        return {"problem": f"needs more than {limits.memory >> 20:,} MB", **state}
    except RecursionError:
        return {"problem": "is nested too deeply", **state}
    except Exception as error:  # a library's, of a file that is not what its name says
        said = " ".join(str(error).split())[:200]
        return {"problem": f"cannot be read as {request['kind']} ({type(error).__name__}{': ' if said else ''}{said})", **state}


def _read(request: dict[str, Any], limits: Limits, state: dict[str, Any]) -> dict[str, Any]:
    read, is_text = FORMATS[request["kind"]]
    data, modified_ns = _bytes(request["path"], limits.text_bytes if is_text else limits.parts_bytes)
    state |= {"size": len(data), "modified_ns": modified_ns, "sha256": hashlib.sha256(data).hexdigest()}
    if not data:
        raise Problem(EMPTY)
    content = read(Source(data, request["name"], limits.parts_bytes))
    if not any(block.text.strip() for block in content.blocks):
        raise Problem("has no text")
    if sum(len(block.text) for block in content.blocks) > limits.characters:
        raise Problem(f"has more than {limits.characters:,} characters of text")
    return _written(content) | state


def _bytes(path: str, most: int) -> tuple[bytes, int]:
    """All of a file at one moment, and the time of its last change."""
    for _ in range(TRIES):
        # Without O_NONBLOCK a pipe that has taken the file's place would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise Problem("is no file any more")
            if before.st_size > most:
                raise Problem(f"has {before.st_size:,} bytes; up to {most:,} are read")
            data = file.read(most + 1)
            after = os.fstat(file.fileno())
        is_same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns) and len(data) == after.st_size
        wait = _unsettled(after.st_mtime_ns)
        if is_same and not wait:
            return data, after.st_mtime_ns
        time.sleep(wait or PAUSE_S)
    raise OSError("it changes while it is read")


def _unsettled(modified_ns: int) -> float:
    """For how many seconds a file may still change without a new time, as far as the clock of its disk tells."""
    age = time.time_ns() - modified_ns
    granule = COARSE_NS if modified_ns % 1_000_000_000 == 0 else FINE_NS
    return (granule - age) / 1e9 if 0 <= age < granule else 0.0


def _written(content: Content) -> dict[str, Any]:
    fields = {}
    for name, value in content.fields.items():
        try:
            fields[_clean(str(name))] = json_value(value)
        except (TypeError, ValueError, RecursionError):
            continue  # what JSON cannot hold is no field
    return {
        "title": " ".join(_clean(content.title).split()),
        "fields": fields,
        "encoding": content.encoding,
        "remarks": content.remarks,
        "blocks": [[_clean(b.text), b.place, b.level, b.lines, _clean(b.header)] for b in content.blocks],
    }


def _clean(text: str) -> str:
    """Without NUL and halves of surrogate pairs, which no index can hold."""
    return text.replace("\0", "").encode(errors="replace").decode()


if __name__ == "__main__":
    main()
