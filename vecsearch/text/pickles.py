"""Reading the lists in a pickle without running anything that is in it."""

from __future__ import annotations

import pickle
import reprlib
from pathlib import Path
from typing import Any

from vecsearch.errors import CheckpointError

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # how torch.save began its files before version 1.6
_LISTS = {
    ("fastcore.foundation", "L"),
    ("fastcore.foundation", "CollBase"),
    ("fastai.data.transforms", "CategoryMap"),
    ("fastai2.data.transforms", "CategoryMap"),
    ("fastai2.core.foundation", "L"),
}
_LEVELS = 2  # a classifier's file is a list of two lists


def unpickle(path: Path) -> Any:
    """What the pickle `path` holds, of lists, tuples, dicts, texts and numbers alone; fastai's list classes become lists.

    Raises `CheckpointError` for a pickle that names anything else, as naming is enough to have it run, for lists nested deeper
    than those of a classifier, and for a damaged one.
    """
    with Path(path).open("rb") as file:
        try:
            value = _Unpickler(file).load()
            if value == _TORCH_MAGIC:  # then its version, the system's word sizes, and the object
                _, _, value = (_Unpickler(file).load() for _ in range(3))
            return _plain(value, _LEVELS)
        except _RefusedError as refused:
            raise CheckpointError(
                f"{path}: opening it would run {refused}; save the list of words alone, in fastai: "
                "json.dump(list(learn.dls.vocab), open('vocab.json', 'w')), for a classifier learn.dls.vocab[0]"
            ) from refused
        except _NestedError as nested:
            raise CheckpointError(
                f"{path}: lists nested more than {_LEVELS} deep, a vocabulary is a list of words; save the list of words alone"
            ) from nested
        except Exception as error:  # the documentation of pickle allows any for damaged data
            raise CheckpointError(
                f"{path}: not a whole pickle ({type(error).__name__}: {error}); copy the file again"
            ) from error


class _RefusedError(Exception):
    pass


class _NestedError(Exception):
    pass


class _List:
    """Stands for a list class of fastai's, which keeps its elements in an attribute."""

    items: Any = ()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.items = state["items"]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) in _LISTS:
            return _List
        raise _RefusedError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"a loader of its own for {reprlib.repr(pid)}")  # repr would expand what is shared


def _plain(value: Any, levels: int) -> Any:
    if isinstance(value, _List):
        value = value.items
    if not isinstance(value, list | tuple):
        return value
    if not levels:
        raise _NestedError
    distinct = {id(element): element for element in value}  # a few bytes can refer to a list many times
    plain = {key: _plain(element, levels - 1) for key, element in distinct.items()}
    return [plain[id(element)] for element in value]
