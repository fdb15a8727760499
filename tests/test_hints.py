"""What a person meets at the edges: ids with dashes, standard input, a home that cannot be written, kinds that add nothing."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest

from vecsearch import clustering
from vecsearch.corpus.document import Document
from vecsearch.encoders.torch_settings import fast_dtype
from vecsearch.errors import UsageError
from vecsearch.files import cache_folder
from vecsearch.index.build import Options
from vecsearch.index.index import Index

MINI = "king 1 0 0.1 0\nqueen 0.9 0.1 0.2 0\nbread 0 1 0 0.2\nstorm 0 0 1 0.1\n"


@pytest.fixture
def index(vecsearch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini.txt").write_text(MINI)
    (tmp_path / "words.jsonl").write_text(
        "".join(f'{{"id": "-{i}", "text": "{word}"}}\n' for i, word in enumerate(("king", "bread")))
    )
    assert vecsearch("model", "import", "mini.txt", "-o", "mini").code == 0
    assert vecsearch("build", "words.jsonl", "-o", "index", "--encoder", "mini").code == 0
    return tmp_path / "index"


@pytest.mark.parametrize("command", ["similar", "delete", "query", "assign"])
def test_an_id_or_text_that_begins_with_a_dash(vecsearch, index, command):
    ran = vecsearch(command, index, "-1")
    assert ran.code == 2 and f"vecsearch {command} … -- -1" in ran.err
    if command != "assign":  # which asks for clusters
        assert vecsearch(command, index, "--", "-1").code == 0


def test_what_can_only_be_an_option_has_no_such_hint(vecsearch):
    assert "Behind" not in vecsearch("query", "index", "--no-such-option").err + vecsearch("demo", "-1").err


def test_a_dash_in_the_place_of_texts_is_standard_input(vecsearch, index, monkeypatch):
    for arguments in (("-",), ("--queries", "-")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"queen\nstorm bread\n")))
        ran = vecsearch("query", index, *arguments, "-k", 1)
        assert [json.loads(line)["query"] for line in ran.out.splitlines()] == ["queen", "storm bread"]


def test_the_cache_folder_is_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "vecsearch"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "vecsearch"


@pytest.mark.parametrize(("variable", "home"), [("HOME", "/dev/null"), ("XDG_CACHE_HOME", "/proc/nowhere")])
def test_a_cache_that_cannot_be_written_is_named_with_its_variable(vecsearch, index, monkeypatch, home, variable):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, home)
    ran = vecsearch("similarity", "king", "queen", "--encoder", "mini.txt")
    assert (
        ran.code == 5 and f"the cache, {home}" in ran.err and "set XDG_CACHE_HOME to a folder that you may write to" in ran.err
    )
    # Where the cache only saves time, the work is done without it.
    np.save("rows.npy", np.random.default_rng(0).standard_normal((3000, 8)).astype(np.float32))
    assert vecsearch("bench", "rows.npy", "--spec", "IVF16,Flat", "--number", 20).code == 0


@pytest.mark.parametrize(
    "spec",
    [
        "IDMap,Flat",
        "IDMap2,Flat",
        "Flat,IDMap",
        "HNSW8,Refine(Flat)",
        "IVF4,Flat,RFlat",
        "PCA2,IDMap,SQ8",
        "IVF4,PQ2,Refine(SQ8)",
    ],
)
def test_a_kind_that_does_what_every_index_does_is_refused_at_once(tmp_path, spec):
    with pytest.raises(UsageError, match=r"leave (IDMap|Refine) out"):
        Index.build(tmp_path / "index", [Document("a", "")], vectors=[np.ones((1, 4), np.float32)], options=Options(spec=spec))
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    "spec",
    [
        *[
            ",",
            "Flat,",
            "IVF",
            "IVF4",
            "HNSW",
            "PQ",
            "SQ",
            "SQ99",
            "Flat,Flat",
            "BFlat",
            "BIVF4",
            "nonsense",
            "PQ3",
            "PCA99,Flat",
            "OPQ3,Flat",
            "LSH,",
            "IVF-1,Flat",
        ],
        *("", "Flat\0", "Flät", "HNSW99999999999999999999", "IVF99999999999999999999,Flat"),
    ],
)
def test_a_kind_that_is_none_is_refused_in_a_sentence(tmp_path, spec):
    """Or built, where FAISS has it after all; never an error of its own, nor a crash."""
    program = """if True:
        import sys, numpy as np
        from vecsearch import Document, Index, Options, VecsearchError
        documents, vectors = [Document(str(i), "") for i in range(300)], np.random.default_rng(0).standard_normal((300, 4))
        try:
            Index.build(sys.argv[1], documents, vectors=[vectors.astype(np.float32)], options=Options(spec=eval(sys.argv[2])))
        except VecsearchError as error:
            assert len(str(error)) > 20
    """
    command = [sys.executable, "-c", program, tmp_path / "i", repr(spec)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_precision_that_is_fast_here_is_the_one_that_torch_would_take():
    import torch

    has_card = torch.cuda.is_available()
    expected = torch.cuda.is_bf16_supported() if has_card else torch.cpu._is_avx512_bf16_supported()
    assert fast_dtype() == ("bfloat16" if expected else "float32")


def test_four_texts_are_built_without_torch(vecsearch, tmp_path):
    """Its import takes longer than all the rest."""
    (tmp_path / "four.txt").write_text("a king\na queen\nsome bread\na storm\n")
    program = (
        "import sys; from vecsearch.cli.main import cli\n"
        f"cli(['build', {str(tmp_path / 'four.txt')!r}, '-o', {str(tmp_path / 'index')!r}], standalone_mode=False)\n"
        f"cli(['add', {str(tmp_path / 'index')!r}, {str(tmp_path / 'four.txt')!r}], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'fastai', 'spacy', 'scipy', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("ids", [False, True], ids=["words are ids", "words have ids"])
def test_clusters_of_single_words_are_called_by_words(tmp_path, ids):
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(40)]
    vectors = np.repeat(np.eye(2, 6), 20, axis=0) + 0.01 * rng.standard_normal((40, 6))
    documents = [Document(str(i) if ids else word, word) for i, word in enumerate(words)]
    with Index.build(tmp_path / "i", documents, vectors=[vectors.astype(np.float32)]) as index:
        made = clustering.cluster(index, clustering.Settings(k=2))
        for cluster in made.clusters:
            names = cluster.name.split(", ")
            assert len(names) == 3 and set(names) <= set(words)
            assert cluster.typical[:3] == [str(words.index(name)) if ids else name for name in names]
