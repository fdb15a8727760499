"""The checkpoint of a training, by which it can be resumed: one file, replaced as a whole."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsearch.errors import DataError, UsageError, writing
from vecsearch.files import write_whole
from vecsearch.resume import refuse_difference

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SAVE_SECONDS = 120
"""Between two checkpoints: what an interruption costs at the most."""


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def copied(module: Module) -> dict[str, Tensor]:
    """A module's weights by name, as they are now."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def checkpoint_folder(output: Path) -> Path:
    """The folder beside `output` that holds the checkpoint of its training."""
    return output.absolute().with_name(f".{output.name}.training")


class Checkpoint:
    """The checkpoint of a training towards `output`, in its `folder`; `options` are all that the result depends on."""

    def __init__(self, output: Path, options: Mapping[str, Any]) -> None:
        self.folder = checkpoint_folder(output)
        self._file = self.folder / "state.safetensors"
        self._options = options
        self._saved = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether SAVE_SECONDS have passed since it was last saved."""
        return time.monotonic() - self._saved > SAVE_SECONDS

    @contextmanager
    def preparing(self, *, resume: bool) -> Iterator[None]:
        """Make the folder, or with `resume` use the one that exists. A new one is removed again if the data is refused.

        Raises: UsageError: with `resume`, when the options were others; ResourceError: the disk refuses.
        """
        is_new = self._begin(resume=resume)
        try:
            yield
        except (DataError, UsageError):
            if is_new:
                self.remove()
            raise

    def _begin(self, *, resume: bool) -> bool:
        known = self.folder / "options.json"
        if resume and known.is_file():
            try:
                before = dict(json.loads(known.read_bytes()))
            except (OSError, ValueError, TypeError) as error:
                raise DataError(f"{known} is damaged ({error}); start again without --resume") from None
            refuse_difference(self.folder, before, self._options)
            with writing(self.folder):
                for unfinished in self.folder.glob(".*.tmp"):  # a kill while a checkpoint was being written
                    unfinished.unlink()
            return False
        with writing(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        write_whole(known, json.dumps(self._options, indent=1).encode() + b"\n")
        return True

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the stored tensors and facts (JSON). Raises ResourceError: the disk refuses; the former ones stay."""
        from safetensors.torch import save

        stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_whole(self._file, save(stored, {"facts": json.dumps(facts)}))
        self._saved = time.monotonic()

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was saved last; None if nothing was. Raises DataError: the file is damaged."""
        from safetensors import SafetensorError, safe_open

        if not self._file.is_file():
            return None
        try:
            with safe_open(self._file, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["facts"])  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self._file} is damaged ({error}); start again without --resume") from None

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
