"""What has no id of its own never takes another's place: an add goes on counting, whatever the ids that are there."""

import json

import numpy as np
import pytest
from store_builds import Letters

from vecsearch.corpus.document import Document
from vecsearch.corpus.readers import read_corpus
from vecsearch.index.index import Index

FIRST, SECOND = ("one a", "two b", "three c"), ("four a", "five b")


def write(path, texts):
    if path.suffix == ".txt":
        path.write_text("\n\n".join(texts) + "\n")  # blank lines count as lines, and are no documents
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    elif path.suffix in (".csv", ".tsv"):
        path.write_text("".join(f"{text}\n" for text in ("text", *texts)))
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"text": list(texts)}), path)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("text", data=list(texts), dtype=h5py.string_dtype())
    return path


def held(index):
    """The texts that are not deleted, by id."""
    documents = index.documents(index.document_rows().tolist())
    return {document.id: document.text for document in documents}


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".tsv", ".parquet", ".h5"])
@pytest.mark.parametrize("real", [False, True], ids=["numbered", "ids that are numbers"])
def test_an_add_without_ids_goes_on_counting(tmp_path, suffix, real):
    first = [Document(id, text) for id, text in zip(("1", "2", "x"), FIRST, strict=True)]
    documents = first if real else read_corpus(write(tmp_path / f"a{suffix}", FIRST))
    second = write(tmp_path / f"b{suffix}", SECOND)
    with Index.build(tmp_path / "index", documents, Letters()) as index:
        before = held(index)
        assert sorted(before.values()) == sorted(FIRST)
        for times in (1, 2):
            changes = index.add(read_corpus(second))
            assert (changes.added, changes.replaced, changes.unchanged) == (2, 0, 0)
            assert len(index) == 3 + 2 * times
        assert before.items() <= held(index).items()
        assert sorted(held(index).values()) == sorted([*FIRST, *SECOND, *SECOND])
        # What is deleted does not give its number away, unless nothing of it is left.
        last = str(changes.numbered_from)
        index.delete([last])
        assert index.add(read_corpus(second)).numbered_from > int(last)


def test_documents_with_ids_replace_as_before(tmp_path):
    with Index.build(tmp_path / "index", read_corpus(write(tmp_path / "a.txt", FIRST)), Letters()) as index:
        changes = index.add([Document("1", "one a"), Document("3", "other"), Document("new", "new")])
        assert (changes.added, changes.replaced, changes.unchanged, changes.numbered_from) == (1, 1, 1, None)


def test_an_index_of_names_is_counted_from_the_first_line(tmp_path):
    with Index.build(tmp_path / "index", [Document("a", "one a"), Document("01x", "b")], Letters()) as index:
        assert index.add(read_corpus(write(tmp_path / "b.txt", SECOND))).numbered_from == 1
        assert held(index) == {"a": "one a", "01x": "b", "1": "four a", "3": "five b"}


def test_an_interrupted_add_goes_on_with_the_same_numbers(tmp_path):
    class Stopped(Letters):
        def encode(self, texts):
            if any("five" in text for text in texts):
                raise KeyboardInterrupt
            return super().encode(texts)

    texts = [f"text {i}" for i in range(5000)]
    path = write(tmp_path / "b.jsonl", [*texts, "five b"])
    with Index.build(tmp_path / "index", read_corpus(write(tmp_path / "a.txt", FIRST)), Letters()) as index:
        index.close()
    with Index.open(tmp_path / "index", encoder=Stopped()) as index, pytest.raises(KeyboardInterrupt):
        index.add(read_corpus(path))
    with Index.open(tmp_path / "index", encoder=Letters()) as index:
        assert index.add(read_corpus(path), resume=True).added == 5001
        assert held(index)["6"] == "text 0" and held(index)["5006"] == "five b"


def test_ready_vectors_without_ids_go_on_counting(vecsearch, tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3, dtype=np.float32))
    np.save(tmp_path / "b.npy", -np.eye(3, dtype=np.float32)[:2])
    folder = tmp_path / "index"
    assert vecsearch("build", "--vectors", tmp_path / "a.npy", "-o", folder).code == 0
    added = vecsearch("add", folder, "--vectors", tmp_path / "b.npy")
    row = json.loads(added.out)
    assert (row["added"], row["replaced"], row["documents"]) == (2, 0, 5)
    assert "numbered from 3 on" in added.err
    with Index.open(folder) as index:
        assert held(index) == {id: id for id in ["0", "1", "2", "3", "4"]}
        np.testing.assert_array_equal(index.vectors(range(3)), np.eye(3))
