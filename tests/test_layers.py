"""Imports go down only, and third parties stay in their places: read from the source, so that a late import counts too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vecsearch

PACKAGE = Path(vecsearch.__file__).parent

LAYERS = (
    {"cli"},
    {"serving", "distributed"},
    {"clustering", "matching", "training", "bench"},
    {"evaluation"},
    {"index"},
    {"remote"},
    {"store", "ann"},
    {"encoders"},
    {"vectors"},
    {"corpus", "text"},
    {"sqlite"},
    {"metric", "files", "resume", "schema", "forks", "progress", "drawing", "engine", "blas"},
    {"checks"},
    {"errors", "urls"},
)
"""From the top; a module imports from layers below its own, and from its own folder: two parts of one layer are strangers."""

PLACES = {
    "click": {"cli"},
    "tqdm": {"cli"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "prometheus_client": {"serving/metrics.py"},
    "pydantic": {"serving"},
    "orjson": {"serving"},
    "mcp": {"serving/agents.py"},
    "faiss": {"ann"},
    "torch": {"encoders", "training"},
    "safetensors": {"encoders", "training"},
    "transformers": {"encoders/sentence/transformer.py"},
    "tokenizers": {"encoders/sentence/base.py"},
    "onnxruntime": {"encoders/sentence/onnx_model.py"},
    "onnxruntime_extensions": {"encoders/sentence/onnx_model.py"},
    "fastai": {
        "encoders/ulmfit/fastai_files.py",
        "encoders/ulmfit/importing.py",
        "encoders/ulmfit/unsafe_export.py",
        "training/keeper.py",
        "training/language_model.py",
        "training/sampled.py",
    },
    "spacy": {"text/splitting.py"},
    "py3langid": {"text/languages.py"},
    "sentencepiece": {"text"},
    "Stemmer": {"text/languages.py"},
    "h5py": {"corpus", "vectors"},
    "pyarrow": {"corpus"},
    "matplotlib": {"drawing.py", "bench/curves.py"},
    "threadpoolctl": {"blas.py", "encoders/torch_settings.py", "matching"},
    "scipy": {"clustering", "training", "evaluation", "matching"},
    "sklearn": {"clustering", "matching"},
    "skops": {"matching/classifiers.py"},
    "openTSNE": {"clustering/placing.py"},
    "ray": {"distributed/ray_engine.py"},
    "sqlite3": {"sqlite.py", "store", "errors.py", "corpus/sqlite_records.py"},
    "obstore": {"remote/store.py"},
    "pathspec": {"corpus/folder/walk.py"},
    "charset_normalizer": {"corpus/folder/formats"},
    "markdown_it": {"corpus/folder/formats"},
    "yaml": {"corpus/folder/formats"},
    "lxml": {"corpus/folder/formats"},
    "pypdfium2": {"corpus/folder/formats"},
    "mammoth": {"corpus/folder/formats"},
    "pptx": {"corpus/folder/formats"},
    "python_calamine": {"corpus/folder/formats"},
    "tree_sitter": {"corpus/folder/formats"},
}
"""Where a third party, or a part of the standard library that only one place should know, may be imported."""

EXCEPTIONS = {"cli/doctor.py": {"faiss", "torch"}}
"""The doctor tries the engines themselves, without the code that uses them."""

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def part(module: str) -> str:
    """The part of the package that a file or a dotted module belongs to: "store" for store/writer.py."""
    return module.removesuffix(".py").replace("/", ".").split(".")[0]


def imported(file: str) -> Iterator[str]:
    """Dotted names of all modules that a file imports; "vecsearch." stands before the package's own."""
    for node in ast.walk(ast.parse((PACKAGE / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}, line {node.lineno}: imports are absolute here"
            own = node.module == "vecsearch"
            yield from (f"vecsearch.{alias.name}" for alias in node.names) if own else [node.module]


def depth(name: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py"])
def test_imports_go_down(file):
    own = part(file)
    for module in imported(file):
        if module.startswith("vecsearch."):
            other = part(module.removeprefix("vecsearch."))
            assert other == own or depth(other) > depth(own), f"{file} imports {module}"


@pytest.mark.parametrize("file", FILES)
def test_third_parties_stay_in_their_places(file):
    for module in imported(file):
        top = module.split(".")[0]
        if top in PLACES and top not in EXCEPTIONS.get(file, ()):
            allowed = any(file == place or file.startswith(f"{place}/") for place in PLACES[top])
            assert allowed, f"{file} imports {module}"


def test_the_public_surface_imports_nothing_until_it_is_used():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    now = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert now == {"__future__", "importlib", "typing"}


def test_every_part_has_a_layer_and_every_place_is_used():
    assert {part(file) for file in FILES} - {"__init__"} == set().union(*LAYERS)
    found = {module.split(".")[0] for file in FILES for module in imported(file)}
    assert PLACES.keys() <= found
    for file, allowed in EXCEPTIONS.items():
        assert allowed <= {module.split(".")[0] for module in imported(file)}
