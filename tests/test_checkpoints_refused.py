"""Checkpoints that cannot be used: each is refused by name and figures, and leaves no folder behind."""

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from vecsearch.cli.model import model
from vecsearch.encoders.ulmfit.fastai_files import read_checkpoint
from vecsearch.encoders.ulmfit.importing import import_checkpoint
from vecsearch.encoders.ulmfit.state_dict import PickledCodeError, lstm_tensors, read_state_dict
from vecsearch.errors import CheckpointError, ResourceError, UsageError
from vecsearch.text.tokenizer import open_tokenizer

WORDS = ["xxunk", "xxpad", "xxbos", "xxeos", "xxfld", "xxrep", "xxwrep", "xxup", "xxmaj", "bank", "river"]


def state_dict(words=11, embedding=4, hidden=(6, 4)):
    generator = torch.Generator().manual_seed(0)
    state = {"encoder.weight": torch.randn(words, embedding, generator=generator)}
    before = embedding
    for n, h in enumerate(hidden):
        state |= {
            f"rnns.{n}.weight_hh_l0_raw": torch.randn(4 * h, h, generator=generator),
            f"rnns.{n}.module.weight_ih_l0": torch.randn(4 * h, before, generator=generator),
            f"rnns.{n}.module.bias_ih_l0": torch.randn(4 * h, generator=generator),
            f"rnns.{n}.module.bias_hh_l0": torch.randn(4 * h, generator=generator),
        }
        before = h
    return state


@pytest.fixture
def checkpoint(tmp_path):
    """A usable checkpoint with its vocabulary beside it; `save` overwrites it."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(WORDS))
    path = folder / "model.pth"
    torch.save(state_dict(), path)
    return path


def refused(checkpoint, match, *, error=CheckpointError, vocabulary=None, **options):
    output = checkpoint.parent.parent / "encoder"
    with pytest.raises(error, match=match) as raised:
        import_checkpoint(checkpoint, vocabulary, output, **options)
    assert "\n" not in str(raised.value)
    assert [path.name for path in output.parent.iterdir()] == [checkpoint.parent.name]


def test_sizes_are_read_from_the_tensors(checkpoint, tmp_path):
    report = import_checkpoint(checkpoint, None, tmp_path / "encoder")
    assert report.dims == {"forward": (4, 6, 4)}
    assert report.words == len(WORDS)
    assert report.size_bytes == sum(path.stat().st_size for path in (tmp_path / "encoder").iterdir())
    config = json.loads((tmp_path / "encoder" / "config.json").read_text())
    assert config["source"]["forward_file"] == "model.pth"
    assert config["source"]["vocabulary_file"] == "vocab.json"


def test_the_folder_keeps_the_tokenizer_that_was_named(checkpoint, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    spm = tmp_path / "my.model"
    with spm.open("wb") as file:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(["the bank of the river"] * 20),
            model_writer=file,
            vocab_size=30,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    import_checkpoint(checkpoint, None, tmp_path / "pieces", sentencepiece=spm)
    import_checkpoint(checkpoint, None, tmp_path / "german", lang="de")
    assert open_tokenizer(tmp_path / "pieces").describe()["kind"] == "sentencepiece"
    assert open_tokenizer(tmp_path / "german").describe() == {"kind": "spacy", "lang": "de"}


def test_the_bias_is_the_sum_of_both():
    state = state_dict(hidden=(4,))
    expected = state["rnns.0.module.bias_ih_l0"] + state["rnns.0.module.bias_hh_l0"]
    np.testing.assert_array_equal(lstm_tensors(state, "model.pth")["lstm.0.bias"], expected.numpy())


def test_vocabulary_of_another_length_is_named_with_both_figures(checkpoint):
    words = checkpoint.parent / "other.txt"
    words.write_text("\n".join(WORDS[:-1]))
    refused(checkpoint, r"other\.txt has 10 words, the embedding of .*model\.pth 11 rows", vocabulary=words)


def test_no_vocabulary_beside_it(checkpoint):
    (checkpoint.parent / "vocab.json").unlink()
    refused(checkpoint, r"no vocabulary beside it .*--vocab")


def test_several_vocabularies_beside_it(checkpoint):
    (checkpoint.parent / "vocab.json").unlink()
    for name in ("itos_a.pkl", "itos_b.pkl"):
        (checkpoint.parent / name).write_bytes(pickle.dumps(WORDS))
    refused(checkpoint, r"itos_a\.pkl, itos_b\.pkl; choose one with --vocab")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rnns.0.layers.0.linear.weight_raw": torch.ones(2, 2)}, r"is a QRNN \(rnns\.0\.layers\.0\.linear\.weight_raw\)"),
        ({"rnns.0.module.weight_hh_l0_reverse": torch.ones(2, 2)}, r"is a bidirectional LSTM .*--backward"),
        ({"encoder.weight": torch.ones(11, 5)}, r"rnns\.0\. input weights are \(24, 4\), expected \(24, 5\)"),
        ({"rnns.0.weight_hh_l0_raw": torch.ones(20, 6)}, r"recurrent weights are \(20, 6\), expected \(24, 6\)"),
        ({"rnns.1.module.bias_hh_l0": torch.ones(15)}, r"rnns\.1\. bias are \(15,\), expected \(16,\)"),
        ({"rnns.1.module.bias_hh_l0": torch.ones(4, 4)}, r"bias_hh_l0 is \(4, 4\) torch\.float32, expected 1 dimensions"),
        ({"encoder.weight": torch.ones(11, 4, dtype=torch.int64)}, r"encoder\.weight is \(11, 4\) torch\.int64"),
        ({"encoder.weight": torch.full((11, 4), torch.nan)}, r"44 of the 44 values of encoder\.weight are NaN or infinite"),
        ({"rnns.1.module.weight_ih_l0": None}, r"lacks rnns\.1\.module\.weight_ih_l0: the model is incomplete"),
        ({"encoder.weight": None}, r"no AWD-LSTM: .* but rnns\.0\.weight_hh_l0_raw, .* \(8 tensors\)"),
    ],
)
def test_a_model_that_does_not_fit(checkpoint, change, match):
    torch.save({name: value for name, value in (state_dict() | change).items() if value is not None}, checkpoint)
    refused(checkpoint, match)


@pytest.mark.parametrize("state", [{"layers.0.attn.weight": torch.ones(3)}, {"encoder.weight": torch.ones(3, 3)}, {}])
def test_another_architecture_is_shown_by_its_keys(checkpoint, state):
    torch.save(state, checkpoint)
    refused(checkpoint, rf"is no AWD-LSTM: .* but {next(iter(state), 'no tensors')}.* \({len(state)} tensors\)")


@pytest.mark.parametrize("value", [torch.ones(3), [1, 2], {1: torch.ones(2)}])
def test_a_file_of_something_else(checkpoint, value):
    torch.save(value, checkpoint)
    refused(checkpoint, rf"holds a {type(value).__name__}, not a model's named tensors")


def test_a_weight_beyond_float16(checkpoint):
    torch.save(state_dict() | {"rnns.0.module.bias_ih_l0": torch.full((24,), 1e5)}, checkpoint)
    refused(checkpoint, r"a weight of 10000\d.* is beyond float16's 65504; import it in float32", dtype="float16")


@pytest.mark.parametrize("zipped", [True, False])
@given(keep=st.floats(0, 0.99))
@settings(max_examples=25)
def test_a_truncated_file(tmp_path_factory, zipped, keep):
    whole = io.BytesIO()
    torch.save(state_dict(), whole, _use_new_zipfile_serialization=zipped)
    path = tmp_path_factory.mktemp("cut") / "model.pth"
    path.write_bytes(whole.getvalue()[: int(keep * len(whole.getvalue()))])
    # A name that is cut short is a name torch does not know.
    with pytest.raises(
        CheckpointError, match=r"model\.pth is (no PyTorch checkpoint, or is damaged|a pickle that would run code)"
    ):
        read_state_dict(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pth cannot be read: No such file"):
        import_checkpoint(tmp_path / "none.pth", None, tmp_path / "encoder")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_that_would_run_code_does_not(checkpoint, tmp_path, write):
    write({"model": state_dict(), "opt": Bomb(tmp_path / "ran")}, checkpoint)
    with pytest.raises(PickledCodeError if write is torch.save else CheckpointError):
        import_checkpoint(checkpoint, None, tmp_path / "encoder")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "encoder").exists()


@pytest.mark.slow
def test_unsafe_reports_the_last_words_of_the_child(checkpoint, tmp_path):
    path = checkpoint.with_name("export.pkl")
    torch.save(Bomb(tmp_path / "ran"), path)
    with pytest.raises(CheckpointError, match=r"export\.pkl: fastai cannot load this export: AttributeError: 'NoneType'"):
        import_checkpoint(path, None, tmp_path / "encoder", unsafe=True)
    assert (tmp_path / "ran").exists()  # unsafe means what it says
    assert not (tmp_path / "encoder").exists()


def test_backward_of_another_vocabulary(checkpoint):
    other = checkpoint.parent / "backward"
    other.mkdir()
    torch.save(state_dict(words=10), other / "model.pth")
    (other / "vocab.json").write_text(json.dumps(WORDS[:-1]))
    refused(checkpoint, r"vocabulary of 11 words, .*backward.* of 10", backward=other / "model.pth")

    torch.save(state_dict(), other / "model.pth")
    (other / "vocab.json").write_text(json.dumps([*WORDS[:-1], "lake"]))
    refused(checkpoint, r"word 10 is 'river' in vocab\.json .*, 'lake' in vocab\.json", backward=other / "model.pth")


def pack(path, members, compression="gz"):
    with tarfile.open(path, f"w:{compression}") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_an_archives_members_stay_in_their_temporary_folder(checkpoint, tmp_path):
    path = checkpoint.with_name("evil.tgz")
    members = {"../../../escaped.json": b"[]", str(tmp_path / "absolute.json"): b"[]", "a/model.pth": checkpoint.read_bytes()}
    pack(path, members | {"../itos.pkl": pickle.dumps(WORDS)})
    report = import_checkpoint(path, None, tmp_path / "encoder")
    assert report.vocabulary == "itos.pkl"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoder", "saved"]
    assert not list(tmp_path.parent.glob("escaped.json"))


def test_links_in_an_archive_are_not_followed(checkpoint):
    path = checkpoint.with_name("links.tgz")
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("model.pth")
        member.type, member.linkname = tarfile.SYMTYPE, str(checkpoint)
        archive.addfile(member)
    refused(path, r"must hold one \.pth or \.h5 file, it holds 0: none")


def test_a_folder_with_two_models(checkpoint):
    torch.save(state_dict(), checkpoint.with_name("second.pth"))
    with pytest.raises(CheckpointError, match=r"it holds 2: model\.pth, second\.pth"):
        import_checkpoint(checkpoint.parent, None, checkpoint.parent / "encoder")


def test_a_damaged_archive(checkpoint):
    path = checkpoint.with_name("wt103-fwd.tgz")
    pack(path, {"model.pth": checkpoint.read_bytes(), "itos.pkl": pickle.dumps(WORDS)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(path, r"wt103-fwd\.tgz is damaged or truncated")
    path.write_bytes(whole[:-8] + bytes(4) + whole[-4:])  # the checksum over everything before it
    refused(path, r"wt103-fwd\.tgz is damaged or truncated \(CRC check failed")


@given(data=st.data())
@settings(max_examples=60)
def test_a_flipped_bit_in_an_archive_is_harmless_or_seen(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flipped")
    torch.save(state_dict(), folder / "model.pth")
    path = folder / "wt103-fwd.tgz"
    pack(path, {"model.pth": (folder / "model.pth").read_bytes(), "vocab.json": json.dumps(WORDS).encode()})
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        read = read_checkpoint(path, None)
    except CheckpointError:
        return
    for name, array in lstm_tensors(state_dict(), path).items():
        np.testing.assert_array_equal(read.tensors[name], array)


def test_an_output_that_is_not_empty_is_left_alone(checkpoint, tmp_path):
    output = tmp_path / "encoder"
    output.mkdir()
    import_checkpoint(checkpoint, None, output)  # an empty folder is no obstacle
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(UsageError, match=r"encoder exists and is not empty"):
        import_checkpoint(checkpoint, None, output)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_a_disk_that_fills_up_leaves_nothing(checkpoint, monkeypatch):
    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    refused(checkpoint, r"no space left on the disk", error=ResourceError)


def test_import_and_info_on_the_command_line(checkpoint, tmp_path):
    output = tmp_path / "encoder"
    done = CliRunner().invoke(model, ["import", str(checkpoint), "--half", "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert "11 words, from vocab.json" in done.output
    assert "float16" in done.output
    done = CliRunner().invoke(model, ["info", str(output)])
    assert done.exit_code == 0, done.output
    assert "embedding 4, 2 LSTM layers of 6, 4" in done.output
    assert "mean of layer -1" in done.output


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["-o", "x"], "no checkpoint"),
        (["a.pth", "--download", "wt103-fwd", "-o", "x"], "choose one of them"),
        (["a.pth", "--backward", "b.pth", "--download", "wt103-bwd", "-o", "x"], "choose one of them"),
    ],
)
def test_contradictory_arguments(arguments, match):
    done = CliRunner().invoke(model, ["import", *arguments])
    assert isinstance(done.exception, UsageError)
    assert match in str(done.exception)


def test_help_spells_out_the_risk_and_imports_nothing_heavy():
    code = (
        "import sys; from vecsearch.cli.model import model; model(['import', '--help'], standalone_mode=False); "
        "print(sorted({'torch', 'numpy', 'faiss', 'fastai', 'spacy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "RUNS ANY CODE" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


# -- what is saved in another way, and vocabularies that cannot be right -------------------------------------------------


class Subclassed(torch.Tensor):
    """Stands for fastai's TensorBase: a class that the reader of the file does not have."""


class OwnParameter(torch.nn.Parameter):
    pass


SAVED = {
    "parameters": torch.nn.Parameter,
    "parameters of a class of one's own": OwnParameter,
    "frozen parameters": lambda tensor: torch.nn.Parameter(tensor, requires_grad=False),
    "parameters in half precision": lambda tensor: torch.nn.Parameter(tensor.half()),
    "buffers": torch.nn.Buffer,
    "a subclass of tensors": lambda tensor: tensor.as_subclass(Subclassed),
    "fastai's tensors": lambda tensor: __import__("fastai.torch_core").torch_core.TensorBase(tensor),
    "tensors that want gradients": lambda tensor: tensor.clone().requires_grad_(),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("kind", SAVED.values(), ids=SAVED)
def test_tensors_of_every_class_are_read(checkpoint, kind, wrapped):
    state = {name: kind(tensor) for name, tensor in state_dict().items()}
    torch.save({"model": state, "opt": None} if wrapped else state, checkpoint)
    read = read_checkpoint(checkpoint, None)
    for name, tensor in lstm_tensors(state_dict(), checkpoint).items():
        np.testing.assert_allclose(read.tensors[name], tensor, atol=2e-2)


def test_a_subclass_with_attributes_is_read_and_none_of_it_run(checkpoint):
    state = {name: tensor.as_subclass(Subclassed) for name, tensor in state_dict().items()}
    for tensor in state.values():
        tensor.note = "text"
    torch.save(state, checkpoint)
    assert all(type(tensor) is torch.Tensor for tensor in read_state_dict(checkpoint).values())
    torch.save(state | {"evil": Evil()}, checkpoint)
    with pytest.raises(PickledCodeError, match="system"):
        read_state_dict(checkpoint)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/never",)


@pytest.mark.parametrize("tensor", [torch.eye(11, 4).to_sparse()], ids=["sparse"])
def test_tensors_of_another_layout_are_refused(checkpoint, tensor):
    torch.save(state_dict() | {"encoder.weight": tensor}, checkpoint)
    refused(checkpoint, "encoder.weight is torch.sparse_coo")


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("name", ["vocab.txt", "vocab.json"])
def test_words_with_counts_are_no_vocabulary(checkpoint, separator, name):
    words = [f"{word}{separator}{1000 - number}" for number, word in enumerate(WORDS)]
    checkpoint.with_name("vocab.json").unlink()
    checkpoint.with_name(name).write_text(json.dumps(words) if name.endswith("json") else "\n".join(words) + "\n")
    refused(checkpoint, "11 of 11 lines are a word and a number")


@pytest.mark.parametrize("words", [["the", *WORDS[1:]], [*WORDS[1:], WORDS[0]], [f"w{i}" for i in range(11)]])
def test_a_vocabulary_that_does_not_begin_with_the_mark_for_unknown_words_is_noticed(checkpoint, tmp_path, words):
    checkpoint.with_name("vocab.json").write_text(json.dumps(words))
    ran = CliRunner().invoke(model, ["import", str(checkpoint), "-o", str(tmp_path / "encoder")])
    assert ran.exit_code == 0 and f"note: unknown words get the vector of {words[0]!r}" in ran.stderr
    ran = CliRunner().invoke(model, ["info", str(tmp_path / "encoder")])
    assert ran.exit_code == 0 and f"get the vector of {words[0]!r}" in ran.stdout
    from vecsearch.encoders.ulmfit.encoder import UlmfitEncoder

    encoder = UlmfitEncoder(tmp_path / "encoder")
    assert not encoder.encode(["qwzzq"]).any() and encoder.tally.unknown and encoder.tally.empty == 1


def test_a_usual_vocabulary_is_not_remarked_on(checkpoint, tmp_path):
    ran = CliRunner().invoke(model, ["import", str(checkpoint), "-o", str(tmp_path / "encoder")])
    assert ran.exit_code == 0 and "unknown words" not in ran.stderr + ran.stdout
    ran = CliRunner().invoke(model, ["info", str(tmp_path / "encoder")])
    assert "unknown words" not in ran.stdout
