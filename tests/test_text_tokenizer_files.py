"""Tokenizers come back from their folder, and what is wrong with a folder is said."""

from __future__ import annotations

import json
import re
import sys

import pytest

from vecsearch.errors import CheckpointError, ResourceError, UsageError
from vecsearch.text.splitting import SplitRules
from vecsearch.text.tokenizer import SentencePieceTokenizer, WordTokenizer, open_tokenizer

TEXTS = ["Hello WORLD, it's 10km to <b>U.S.A.</b>!!!", "so so so good\n\n ΣΑΣ", "", "a:) ) b", "naïve café 中文 😀"]


@pytest.fixture(scope="module")
def rules() -> SplitRules:
    return SplitRules.from_spacy("en")


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory):
    import sentencepiece

    folder = tmp_path_factory.mktemp("spm")
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "10", "others", "watch", "it", "run"]
    lines = [f"xxbos xxmaj {first} {second} {third}" for first in words for second in words for third in words[:4]]
    (folder / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.Train(
        input=str(folder / "texts.txt"),
        model_prefix=str(folder / "spm"),
        vocab_size=80,
        hard_vocab_limit=False,
        user_defined_symbols=["▁xxunk", "▁xxbos", "▁xxmaj", "▁xxup", "▁xxrep"],
        minloglevel=2,
    )
    return folder / "spm.model"


def test_words_come_back(tmp_path, rules):
    saved = WordTokenizer(rules)
    saved.save(tmp_path)
    opened = open_tokenizer(tmp_path)
    assert list(opened.tokens(TEXTS)) == list(saved.tokens(TEXTS))
    assert opened.describe() == {"kind": "spacy", "lang": "en"}


def test_opening_and_splitting_leave_spacy_alone(tmp_path, rules):
    import subprocess

    WordTokenizer(rules).save(tmp_path)
    program = (
        "import sys; from pathlib import Path; from vecsearch.text.tokenizer import open_tokenizer;"
        "list(open_tokenizer(Path(sys.argv[1])).tokens(['Hello, a:) world']));"
        "print({'spacy', 'torch', 'fastai', 'sentencepiece'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_pieces_are_fastais(tmp_path, sentencepiece_model):
    from fastai.text import core

    fastai = core.TokenizeWithRules(core.SentencePieceTokenizer(sp_model=sentencepiece_model, cache_dir=tmp_path / "cache"))
    SentencePieceTokenizer(sentencepiece_model).save(tmp_path)
    opened = open_tokenizer(tmp_path)
    assert list(opened.tokens(TEXTS)) == [list(tokens) for tokens in fastai(TEXTS)]
    assert opened.describe()["kind"] == "sentencepiece"


def test_missing_sentencepiece_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UsageError, match=r"pip install 'vecsearch\[sentencepiece\]'"):
        SentencePieceTokenizer(tmp_path / "spm.model")


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_damaged_sentencepiece_model_is_named(tmp_path, content):
    path = tmp_path / "sentencepiece.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"sentencepiece\.model"):
        SentencePieceTokenizer(path)


def _changed(rules: SplitRules, **values) -> str:
    return json.dumps({"format": 1, "kind": "spacy", **rules.to_json(), **values})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"kind": "moses"}, "kind 'moses'"),
        ({"prefix": {"pattern": "(", "flags": 32}}, "unterminated|missing"),
        ({"url_match": {"pattern": "[b-a]", "flags": 32}, "special_cases": {}}, "bad character range"),
        ({"prefix": {"pattern": "a"}}, "flags"),
        ({"prefix": {"pattern": "a", "flags": 32 | re.DEBUG}}, "flags 160"),
        ({"infix": {"pattern": "a", "flags": 32 | re.MULTILINE}}, "flags 40"),
        ({"infix": {"pattern": "a", "flags": "32"}}, "flags '32'"),
        ({"infix": {"pattern": "a", "flags": [32]}}, "damaged"),
        ({"suffix": None}, "damaged"),
        ({"special_cases": {"ab": ["a"]}}, "'ab'"),
        ({"special_cases": ["ab"]}, "damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, rules, values, problem):
    (tmp_path / "tokenizer.json").write_text(_changed(rules, **values), encoding="utf-8")
    with pytest.raises(CheckpointError, match=f"tokenizer\\.json.*({problem})"):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"kind": "spacy"}', b'{"format": 1, "kind": "spacy"}', None])
def test_no_tokenizer_file_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        open_tokenizer(tmp_path)


def test_a_folder_that_is_not_there(tmp_path, rules):
    with pytest.raises(ResourceError, match=r"tokenizer\.json"):
        WordTokenizer(rules).save(tmp_path / "none")
