"""A file of word vectors of any format, and the folder that it becomes: block by block, whatever its size."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from vecsearch import checks
from vecsearch.corpus.lines import COMPRESSIONS
from vecsearch.encoders.words.block import WordFile
from vecsearch.encoders.words.byte_reader import opened
from vecsearch.encoders.words.fasttext_bin import MAGIC, FasttextBin
from vecsearch.encoders.words.folder import WordsFolder
from vecsearch.encoders.words.text import TextFile
from vecsearch.encoders.words.word2vec_binary import Word2vecBinary
from vecsearch.encoders.words.writer import FolderWriter
from vecsearch.errors import CheckpointError, ResourceError, UsageError
from vecsearch.files import cache_folder, caching, new_folder, refuse_existing
from vecsearch.progress import SILENT, Progress, check_progress, expected

SUFFIXES = (".vec", ".bin", ".ftz", ".txt", ".w2v", ".glove")
PROBED_BYTES = 4_096
GIVEN_UP_S = 86_400
"""An unfinished folder in the cache that is older has nobody working on it."""
_HEADER = re.compile(rb"\s*\d+\s+\d+\s*\n")
_NO_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f]")


def is_words_file(path: Path) -> bool:
    """Whether a file's name is one that word vectors have."""
    name = path.with_suffix("") if path.suffix.removeprefix(".") in COMPRESSIONS else path
    return name.suffix.lower() in SUFFIXES and path.is_file()


def open_word_file(path: Path) -> WordFile:
    """The file, opened as what its first bytes are of. Raises CheckpointError for one that is of no format that is known."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; check the path")
    with opened(path) as stream:
        beginning = stream.ahead(PROBED_BYTES)
    if beginning[:4] == MAGIC.to_bytes(4, "little") or path.suffix == ".ftz":
        return FasttextBin(path)
    header = _HEADER.match(beginning)
    if _NO_TEXT.search(beginning, header.end() if header else 0):
        return Word2vecBinary(path)
    try:
        return TextFile(path)
    except CheckpointError:
        # A few numbers in binary may look like text.
        if not header:
            raise
        try:
            return Word2vecBinary(path)
        except CheckpointError:
            pass
        raise


@dataclass(frozen=True, slots=True)
class WordsReport:
    """What an import made, and how many words were no UTF-8."""

    folder: WordsFolder
    broken: int


def import_words(
    path: Path,
    output: Path,
    *,
    most: int | None = None,
    dtype: str = "float32",
    sif: float | None = None,
    ngrams: bool = False,
    progress: Progress = SILENT,
) -> WordsReport:
    """Write the folder `output` from a file of word vectors, with its first `most` words; there is never half a folder.

    `dtype` is "float32" or "float16"; what `sif` does says `WordsConfig`. With `ngrams` character n-grams are learned, from
    which words that the file does not have get a vector. Raises CheckpointError for a file that cannot be used, naming a line
    or an offset, UsageError when `output` is not empty, ResourceError for a full disk.
    """
    path, output, ngrams = checks.path("path", path), checks.path("output", output), checks.flag("ngrams", ngrams)
    most = None if most is None else checks.count("most", most, least=1, most=checks.MANY)
    dtype = checks.one_of("dtype", dtype, ("float32", "float16"))
    if sif is not None and not (sif := checks.number("sif", sif, 0)):
        raise UsageError("sif is 0; leave it out, or give a number above 0")
    check_progress(progress)
    refuse_existing(output)
    file = open_word_file(path)
    if ngrams and file.subwords:
        raise UsageError(f"{path} has n-grams of its own, from which unknown words get their vectors: leave out --ngrams")
    reading = 0.5 if file.subwords or ngrams else 1.0  # n-grams take about as long again

    def told(share: float) -> None:
        progress.step("words", writer.rows, expected(writer.rows, share))

    with new_folder(output) as folder, ExitStack() as files:
        writer = FolderWriter(folder, file.dim, dtype, files)
        for block in file.blocks(most):
            writer.add(block)
            told(reading * file.fraction())
        writer.close()

        def further(done: float) -> None:
            told(reading + (1 - reading) * done)

        if file.subwords:
            writer.compose(file.subwords, further)
        subwords = writer.learn(further) if ngrams else file.subwords
        source = {"file": path.name, "file_bytes": path.stat().st_size, "file_format": file.format}
        writer.finish(subwords, sif, source)
    return WordsReport(WordsFolder(output), file.broken_words)


def cached_words(path: Path, progress: Progress = SILENT) -> WordsFolder:
    """The folder of a file in the user's cache, made from it unless it is there. Raises as `import_words` does."""
    place, state = path.resolve(), path.stat()
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:24]
    version = hashlib.sha256(f"{state.st_size} {state.st_mtime_ns}".encode()).hexdigest()[:16]
    cache = cache_folder() / "words"
    folder = cache / f"{name}-{version}"
    with suppress(CheckpointError):
        return WordsFolder(folder)
    # What is there is damaged, or was made from what the file held before, or by a process that was killed.
    for old in (*cache.glob(f"{name}-*"), *(part for part in cache.glob(f".{name}-*.part") if _is_old(part))):
        shutil.rmtree(old, ignore_errors=True)
    try:
        with caching():
            return import_words(path, folder, progress=progress).folder
    except ResourceError:
        with suppress(CheckpointError):
            return WordsFolder(folder)  # another process was faster
        raise


def _is_old(part: Path) -> bool:
    with suppress(OSError):
        return time.time() - part.stat().st_mtime > GIVEN_UP_S
    return False
