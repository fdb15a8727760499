"""What is answered, as the OpenAPI document describes it; answers are not made of these classes, tests hold them to it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """All of its keys are described; those with a default may be missing."""

    model_config = ConfigDict(extra="forbid")


class Error(Answer):
    """`code` is for programs, the others are for people. Those of OpenAI's endpoints have a type and a param as well."""

    code: str
    message: str
    hint: str
    type: str = ""
    param: str | None = None


class Refusal(Answer):
    """Every answer that is no success."""

    error: Error


class EncoderFacts(Answer):
    """The encoder that an index was built with."""

    fingerprint: str
    dim: int


class Summary(Answer):
    """What an index is."""

    name: str
    documents: int
    rows: int = Field(description="Vectors: several of a document that was split into passages.")
    dim: int
    metric: Literal["cosine", "inner_product"]
    spec: str = Field(description="exact, or the factory string of its FAISS index.")
    recall: dict[str, float | dict[str, dict[str, float]] | None] | None = Field(
        description="As it was measured when the index was made."
    )
    generation: int
    language: str | None
    modes: list[Literal["hybrid", "meaning", "keywords"]] = Field(description="How texts can be found; the first by default.")
    encoder: EncoderFacts | None


class Indexes(Answer):
    """All indexes that are served."""

    indexes: list[Summary]


class ValueCount(Answer):
    """A value, and how many documents have it."""

    value: Any
    documents: int


class FieldFacts(Answer):
    """A field of an index's documents."""

    name: str
    kinds: list[str]
    documents: int
    values: int | None = Field(description="Distinct ones.")
    least: float | None
    most: float | None
    common: list[ValueCount]


class ClusterFacts(Answer):
    """A cluster of an index's documents."""

    number: int
    name: str
    words: list[str]
    documents: int


class MapFacts(Answer):
    """What the map of an index shows."""

    documents: int
    way: str
    kept: bool


class Details(Summary):
    """What there is to know of an index."""

    fields: list[FieldFacts]
    examples: list[str] = Field(description="Conditions that some of its documents meet.")
    clusters: list[ClusterFacts]
    map: MapFacts | None
    title: str | None = Field(description="The field that tells what a document is.")


class SnippetOf(Answer):
    """The sentence that answers; marks are [first, behind] of words in it, in characters."""

    text: str
    marks: list[tuple[int, int]]


class WordOf(Answer):
    """What a word of the passage, or else the text, contributes to the score; it stands at [start, stop), in characters."""

    word: str
    start: int
    stop: int
    contribution: float


class HitOf(Answer):
    """A document that was found."""

    id: str
    score: float | None = Field(description="Higher is better; null where nothing was asked but a condition.")
    title: str | None
    text: str
    text_cut: bool = False
    fields: dict[str, Any]
    passage: str | None = Field(description="The part of the text that was found, where texts are split.")
    cluster: int | None
    snippet: SnippetOf | None = None
    words: list[WordOf] | None = None


class FacetOf(Answer):
    """The most common values of a field, how many others there are, and how many documents have the field."""

    values: list[ValueCount]
    others: int
    documents: int


class Result(Answer):
    """What one query found."""

    hits: list[HitOf]
    total: int = Field(description="Documents that meet the condition; by keywords those that also have a word of the query.")
    facets: dict[str, FacetOf] | None = None
    explained: bool = True
    notes: list[str] = Field([], description="What a person should know.")


class Found(Answer):
    """The answer to a search: a result for each query, all from one generation."""

    index: str
    generation: int
    mode: Literal["hybrid", "meaning", "keywords", "vector", "like", "browse"]
    took_ms: float
    results: list[Result]
    missing_documents: int | None = Field(None, description="Out of reach now, with --partial.")


class Document(Answer):
    """A document, whole."""

    id: str
    title: str | None
    text: str
    fields: dict[str, Any]
    cluster: int | None
    generation: int


class Embedding(Answer):
    """A vector; in base64 of little-endian float32 where that was asked for."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(Answer):
    """Tokens, estimated from lengths."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(Answer):
    """OpenAI's answer to a request for embeddings."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(Answer):
    """An index with an encoder, as OpenAI lists models."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Answer):
    """OpenAI's list of models."""

    object: Literal["list"]
    data: list[Model]


class State(Answer):
    """Of the service."""

    status: Literal["ok", "ending"]
