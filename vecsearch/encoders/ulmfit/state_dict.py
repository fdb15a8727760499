"""What fastai saved, as the tensors of `vecsearch.encoders.ulmfit.folder`, without running any of its code.

The same model has been written under several names (n counts the LSTM layers):

    fastai 1 and 2    encoder.weight, rnns.n.weight_hh_l0_raw, rnns.n.module.{weight_ih,bias_ih,bias_hh}_l0
    fastai 0.7        the same, with rnns.n.module.weight_hh_l0_raw

with "0." before them in a whole language model, "0.module." in a classifier, and nothing in an encoder by itself.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsearch.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

# What an optimiser's hyper-parameters are made of. None of it is needed, so none of it is built.
_IGNORED = ("fastcore.foundation.L", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")

_MAKERS = "torch._utils._rebuild_"
"""How the functions begin that torch makes tensors by."""


class PickledCodeError(CheckpointError):
    """The file is a pickle that would run code when opened, as `learn.export` writes it."""


class _Ignored:
    def __new__(cls, *_: Any) -> _Ignored:
        return object.__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors in a file of `learn.save` (with or without optimiser) or `save_encoder`, by name.

    Raises PickledCodeError when opening it would run code, CheckpointError when it is damaged or something else.
    """
    import torch

    try:
        stand_ins = [*((_Ignored, name) for name in _IGNORED), *((torch.Tensor, name) for name in _tensor_classes(path))]
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # about the pickle protocols of old files
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged file fails anywhere in torch's reader, with any error
        if refused := re.search(r"GLOBAL (\w[\w.]*)", str(error)):
            raise PickledCodeError(_would_run_code(path, refused[1])) from None
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(
            f"{path} is no PyTorch checkpoint, or is damaged or truncated ({reason}); save or copy it again"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, not a model's named tensors; {_SAVE_AGAIN}")
    # Parameters take part in training; of them and of subclasses only the tensor is wanted.
    return {name: tensor.detach() for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def _tensor_classes(path: Path) -> set[str]:
    """The names of the classes that a file has tensors of, such as fastai's TensorBase: a plain tensor stands in for each.

    torch writes how the tensor itself is made and then, at once, the name of its class. Whatever else a file puts there gets a
    tensor in its place: no name is looked up, and nothing of it is run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            named = list(_names(archive.read(name)))
    except (OSError, StopIteration, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return set()  # of the old format, or damaged, which torch's reader tells
    return {
        second for first, second in pairwise(named) if first.startswith(_MAKERS) and second and not second.startswith("torch.")
    }


def _names(pickled: bytes) -> Iterator[str]:
    """For each step of a pickle but those that only remember: the global that it names, or an empty text."""
    for opcode, value, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            yield value.replace(" ", ".")
        elif opcode.name not in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            yield ""


_SAVE_AGAIN = "save the model with `learn.save_encoder(name)` and give that file"


def _would_run_code(path: Path, name: str) -> str:
    return (
        f"{path} is a pickle that would run code when opened (it names {name}), so it was not opened. "
        f"In fastai, {_SAVE_AGAIN}, and the vocabulary with json.dump(list(learn.dls.vocab), file). "
        "If it is an export.pkl (`learn.export`), and you trust whoever made it as you would trust a program of theirs, "
        "--unsafe lets fastai open it, which runs whatever is in it"
    )


def lstm_tensors(state: dict[str, Tensor], path: Path) -> dict[str, np.ndarray]:
    """The model's `embedding` and `lstm.n.{weight_ih,weight_hh,bias}`, float32; the decoder or classifier on top is left out.

    Raises CheckpointError naming `path` and both figures for anything but a whole, unidirectional AWD-LSTM.
    """
    prefix = _prefix(state, path)
    layers = {name.split(".")[1] for name in (key.removeprefix(prefix) for key in state) if name.startswith("rnns.")}
    tensors = {"embedding": _float32(state, [f"{prefix}encoder.weight"], path, dims=2)}
    dim = tensors["embedding"].shape[1]
    for n in range(len(layers)):
        layer = f"{prefix}rnns.{n}."
        inner = f"{layer}module."
        # In training the weights without "_raw" have dropout in them; in evaluation fastai replaces them by the raw ones.
        names = [f"{layer}weight_hh_l0_raw", f"{inner}weight_hh_l0_raw", f"{inner}weight_hh_l0"]
        weight_hh = _float32(state, names, path, dims=2)
        weight_ih = _float32(state, [f"{inner}weight_ih_l0"], path, dims=2)
        biases = [_float32(state, [f"{inner}bias_{part}_l0"], path, dims=1) for part in ("ih", "hh")]
        h = weight_hh.shape[1]
        _fit(f"{path}: {layer} recurrent weights", weight_hh.shape, (4 * h, h))
        _fit(f"{path}: {layer} input weights", weight_ih.shape, (4 * h, dim))
        for bias in biases:
            _fit(f"{path}: {layer} bias", bias.shape, (4 * h,))
        tensors |= {f"lstm.{n}.weight_ih": weight_ih, f"lstm.{n}.weight_hh": weight_hh, f"lstm.{n}.bias": sum(biases)}
        dim = h
    return tensors


def _prefix(state: dict[str, Tensor], path: Path) -> str:
    """What stands before "encoder.weight" and "rnns.0.": "", "0.", "0.module.", ..."""
    for key in state:
        prefix = key.removesuffix("encoder.weight")
        recurrent = [name.removeprefix(prefix) for name in state if name.startswith(f"{prefix}rnns.")]
        if prefix == key or not recurrent:
            continue
        for pattern, kind in ((r"rnns\.\d+\.(layers|linear)\.", "a QRNN"), (r"_reverse(_raw)?$", "a bidirectional LSTM")):
            if found := [name for name in recurrent if re.search(pattern, name)]:
                raise CheckpointError(
                    f"{path} is {kind} ({prefix}{found[0]}); only AWD-LSTMs that read in one direction can be imported. "
                    "A forward and a backward model go together with --backward"
                )
        return prefix
    shown = ", ".join(list(state)[:4]) or "no tensors"
    raise CheckpointError(
        f"{path} is no AWD-LSTM: it has no encoder.weight with rnns.0.… but {shown}{', …' if len(state) > 4 else ''} "
        f"({len(state)} tensors); give a checkpoint of language_model_learner or text_classifier_learner with AWD_LSTM"
    )


def _float32(state: dict[str, Tensor], names: list[str], path: Path, *, dims: int) -> np.ndarray:
    """The first of `names` that is there."""
    import torch

    name = next((name for name in names if name in state), None)
    if name is None:
        raise CheckpointError(f"{path} lacks {names[0]}: the model is incomplete; {_SAVE_AGAIN}")
    tensor = state[name]
    if tensor.dim() != dims or not tensor.is_floating_point() or not tensor.numel():
        raise CheckpointError(f"{path}: {name} is {tuple(tensor.shape)} {tensor.dtype}, expected {dims} dimensions of floats")
    if tensor.layout is not torch.strided or tensor.device.type != "cpu":
        raise CheckpointError(f"{path}: {name} is {tensor.layout} on {tensor.device}, not plain numbers; {_SAVE_AGAIN}")
    array = tensor.float().numpy()
    if bad := array.size - np.count_nonzero(np.isfinite(array)):
        raise CheckpointError(
            f"{path}: {bad:,} of the {array.size:,} values of {name} are NaN or infinite; train the model again"
        )
    return array


def _fit(what: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise CheckpointError(f"{what} are {shape}, expected {expected}: the layers' sizes do not fit each other")
