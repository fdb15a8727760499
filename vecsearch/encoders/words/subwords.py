"""Character n-grams as fastText makes them, and the vectors that words get from theirs.

Source: Bojanowski, Grave, Joulin and Mikolov 2017, "Enriching word vectors with subword information";
github.com/facebookresearch/fastText, dictionary.cc (computeSubwords, hash).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vecsearch.encoders.words.block import MOST_WORD_BYTES, Subwords
from vecsearch.encoders.words.sums import sums

END_OF_SENTENCE = "</s>"
"""fastText's word for the end of a line: the only one without n-grams."""
ROUNDS = 10
"""Further rounds bring the vectors of known words nearer, and those of others no more."""
_OFFSET, _PRIME = np.uint32(2_166_136_261), np.uint32(16_777_619)


def ngram_rows(words: Sequence[str], subwords: Subwords) -> tuple[np.ndarray, np.ndarray]:
    """The buckets (m,) int64 of the n-grams of all words, one word after the other, and how many each word has (n,) int64.

    N-grams are those of `<word>`, of `minn` to `maxn` characters, without `<` and `>` by themselves; their hash is FNV-1a of
    32 bits over UTF-8, whose bytes fastText takes for signed. A word of more than MOST_WORD_BYTES has none.
    """
    coded = [word.encode(errors="replace") for word in words]
    coded = [b"" if word == END_OF_SENTENCE.encode() or len(word) > MOST_WORD_BYTES else b"<%b>" % word for word in coded]
    data = np.frombuffer(b"".join(coded), np.uint8)
    lengths = np.array([len(word) for word in coded], np.int64)
    stops = np.cumsum(lengths)
    begins = (data & 0xC0) != 0x80  # of a character
    signed = data.view(np.int8).astype(np.int32).view(np.uint32)
    places = np.flatnonzero(begins)  # where an n-gram begins
    owner = np.repeat(np.arange(len(words)), lengths)[places]
    first, stop = places == (stops - lengths)[owner], stops[owner]
    hashes, characters = np.full(len(places), _OFFSET), np.zeros(len(places), np.int64)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    # All n-grams grow by one byte at a time.
    while len(places):
        hashes = (hashes ^ signed[places]) * _PRIME
        places = places + 1
        ended = places == stop
        whole = ended | begins[np.minimum(places, len(data) - 1)]
        characters = characters + whole
        taken = whole & (characters >= subwords.minn) & ~((characters == 1) & (first | ended))
        found.append((owner[taken], (hashes[taken] % np.uint32(subwords.bucket)).astype(np.int64)))
        going = ~ended & ~(whole & (characters == subwords.maxn))
        places, owner, first, stop, hashes, characters = (
            array[going] for array in (places, owner, first, stop, hashes, characters)
        )
    owners, rows = (np.concatenate(part) for part in zip(*found, strict=True)) if found else (np.zeros(0, np.int64),) * 2
    return rows[np.argsort(owners, kind="stable")], np.bincount(owners, minlength=len(words))


def composed(table: np.ndarray, words: Sequence[str], subwords: Subwords) -> np.ndarray:
    """Vectors of words that a model does not have: the mean of their n-grams' rows in `table`, zero without any: (n, d)."""
    return _means(table, *ngram_rows(words, subwords))


def with_ngrams(vectors: np.ndarray, table: np.ndarray, words: Sequence[str], subwords: Subwords) -> np.ndarray:
    """Vectors of words that a fastText model has: the mean of their own rows, `vectors` (n, d), and of their n-grams' rows."""
    rows, counts = ngram_rows(words, subwords)
    return (vectors + sums(table, rows, counts)) / (1 + counts)[:, None].astype(np.float32)


def learned(vectors: np.ndarray, words: Sequence[str], subwords: Subwords, progress: Callable[[float], None]) -> np.ndarray:
    """Rows of n-grams, (bucket, d) float32, that give words vectors near those they have, (n, d), and others' near such.

    Least squares, stopped early: what the means of n-grams lack of their words' vectors goes back to the n-grams, ROUNDS times.
    Sources: Zhao, Mudgal and Liang 2018, "Generalizing word embeddings using bag of subwords"; for the method Gilbert 1972,
    "Iterative methods for the three-dimensional reconstruction of an object from projections" (SIRT).
    """
    rows, counts = ngram_rows(words, subwords)
    owners = np.repeat(np.arange(len(words)), counts)[np.argsort(rows, kind="stable")]
    uses = np.bincount(rows, minlength=subwords.bucket)
    table = np.zeros((subwords.bucket, vectors.shape[1]), np.float32)
    for done in range(ROUNDS):
        lacking = vectors - _means(table, rows, counts)
        table += _means(lacking, owners, uses)
        progress((done + 1) / ROUNDS)
    return table


def _means(table: np.ndarray, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return sums(table, rows, counts) / np.maximum(1, counts)[:, None].astype(np.float32)
