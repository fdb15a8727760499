"""A model in an .onnx file: which file is meant, what its graph takes and gives, run by onnxruntime on processors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vecsearch.encoders.sentence.onnx_file import STRING, Graph, read_graph
from vecsearch.encoders.sentence.transformer import WEIGHTS, without_torchvision
from vecsearch.errors import CheckpointError, UsageError
from vecsearch.files import memory_limit
from vecsearch.forks import inherited, keep_for_ever, made_once

SUFFIX, MODEL = ".onnx", "model.onnx"
PLACES = (MODEL, f"onnx/{MODEL}")
"""Where a folder's model lies, as optimum and sentence-transformers write it."""
TOKENS = ("input_ids", "attention_mask", "token_type_ids")
"""What models of token ids take, by transformers' names: the ids, 1 where there is a token, and which text it is of."""
INTEGERS = {6: np.int32, 7: np.int64}
"""Types of tensors that may hold token ids, by ONNX's numbers."""
VECTORS, STATES = ("sentence_embedding", "default"), ("last_hidden_state", "token_embeddings", "elmo")
"""Names that outputs have by custom: of one vector for each text, (n, d), and of one for each token, (n, t, d)."""
EXTENSIONS = "ai.onnx.contrib"
"""The domain of the operators that onnxruntime-extensions brings, such as those which cut texts into pieces."""


def is_onnx(path: Path) -> bool:
    """Whether it is an .onnx file, or a folder with one and without the same model as safetensors."""
    if path.is_file():
        return path.suffix == SUFFIX
    return not (path / WEIGHTS).is_file() and bool(_candidates(path))


def takes_texts(path: Path) -> bool:
    """Whether an ONNX model takes texts, not ids of their tokens. Raises CheckpointError for a damaged one."""
    return any(value.type == STRING for value in read_graph(find_model(path)).inputs.values())


def find_model(path: Path) -> Path:
    """The .onnx file that is meant by a file or a folder. Raises CheckpointError where a folder has several and none is
    named as such files are."""
    if path.is_file():
        return path
    found = _candidates(path)
    if len(found) != 1:
        names = ", ".join(str(file.relative_to(path)) for file in found) or "none"
        raise CheckpointError(f"of the models in {path} one has to be named, and there are {names}: give the {SUFFIX} file")
    return found[0]


def _candidates(folder: Path) -> list[Path]:
    named = [folder / place for place in PLACES if (folder / place).is_file()]
    return named[:1] or sorted(path for pattern in (f"*{SUFFIX}", f"onnx/*{SUFFIX}") for path in folder.glob(pattern))


class OnnxModel:
    """An .onnx file whose graph has been read; onnxruntime opens it when it is first run. It runs on processors.

    Raises CheckpointError for a file that cannot be used, UsageError where a library is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.graph: Graph = read_graph(path)
        self.output = self._output()
        inherited(self)

    @property
    def gives_vectors(self) -> bool:
        """Whether the output is known to be one vector for each text, and not one for each of its tokens."""
        name, shape = _plain(self.output), self.graph.outputs[self.output].shape
        return name in VECTORS or (name not in STATES and shape is not None and len(shape) == 2)

    @property
    def dim(self) -> int | None:
        """Length of the vectors, where the file says so."""
        shape = self.graph.outputs[self.output].shape
        return shape[-1] if shape else None

    @property
    def files(self) -> dict[str, Path]:
        """The file, and those that hold its weights, by the names that they need in a folder."""
        return {MODEL: self.path} | {name: self.path.parent / name for name in sorted(self.graph.files)}

    def run(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output for these inputs: (n, d) or (n, t, d) float32."""
        session, n = self._session, len(next(iter(feeds.values())))
        try:
            found = np.asarray(session.run([self.output], dict(feeds))[0])
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(f"{self.path} fails on its inputs: {error}") from None
        if found.ndim not in ((2,) if self.gives_vectors else (2, 3)) or len(found) != n or found.dtype.kind not in "fiu":
            raise CheckpointError(
                f"{self.path} makes {self.output} of shape {found.shape} and type {found.dtype} of {n} texts; "
                f"it should be numbers of shape ({n}, {'' if self.gives_vectors else 'tokens, '}length)"
            )
        return found.astype(np.float32, copy=False)

    def check_takes_tokens(self) -> None:
        """Raise CheckpointError for a graph that is no model of token ids, or wants more than `run_on_tokens` gives."""
        for name, value in self.graph.inputs.items():
            if name not in TOKENS or value.type not in INTEGERS:
                raise CheckpointError(
                    f"{self.path} wants {name}, and only {', '.join(sorted(TOKENS))} are given, as whole numbers; "
                    "export the model as optimum does for feature extraction"
                )
        if "input_ids" not in self.graph.inputs:
            raise CheckpointError(f"{self.path} takes no input_ids: it is no model of texts")

    def run_on_tokens(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output for TOKENS, (b, t) int64 each, of which the graph is given those that it takes."""
        return self.run({name: given[name].astype(INTEGERS[value.type]) for name, value in self.graph.inputs.items()})

    def describe(self) -> dict[str, object]:
        """Facts for people, by name."""
        return {
            "model": self.path,
            "takes": ", ".join(self.graph.inputs),
            "gives": f"{self.output}, a vector for each {'text' if self.gives_vectors else 'token'}",
        }

    def in_child(self) -> None:
        """Open the model anew when it is next run: to let go of the parent's would wait for its threads."""
        if session := vars(self).pop("_session", None):
            keep_for_ever(session)

    def _output(self) -> str:
        outputs = self.graph.outputs
        named = [name for known in (*VECTORS, *STATES) for name in outputs if _plain(name) == known]
        shaped = [name for name, value in outputs.items() if len(outputs) == 1 or len(value.shape or ()) in (2, 3)]
        if not named and len(shaped) != 1:
            raise CheckpointError(
                f"{self.path} gives {', '.join(outputs)}; which of them is meant is known of {', '.join((*VECTORS, *STATES))}, "
                "or where only one has a vector for each text or token: export the model with one of these"
            )
        return (named or shaped)[0]

    @made_once
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise UsageError("an ONNX model needs onnxruntime: pip install 'vecsearch[onnx]'") from None
        _limit_memory()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _threads()
        # They do not spin while others work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.log_severity_level = 4  # what is wrong comes as an exception
        if EXTENSIONS in self.graph.domains:
            try:
                with without_torchvision():  # it imports transformers where that is installed
                    from onnxruntime_extensions import get_library_path
            except ImportError:
                raise UsageError(f"{self.path} has operators of {EXTENSIONS}: pip install onnxruntime-extensions") from None
            options.register_custom_ops_library(get_library_path())
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(f"{self.path} cannot be opened as an ONNX model: {error}") from None


def _threads() -> int:
    """As many as torch and FAISS would take: what OMP_NUM_THREADS says, else the processors that this process may use."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdecimal() and int(said) > 0:
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _limit_memory() -> None:
    """Have all models of this process together take at most half of the machine's memory: a graph may ask for any amount."""
    import onnxruntime as ort

    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": memory_limit() // 2}))


def _plain(name: str) -> str:
    """An output's name without the number that TensorFlow counts with: "default:0"."""
    return name.partition(":")[0]
