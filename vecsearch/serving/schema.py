"""What may be asked, as one table: requests are looked at by it, and the OpenAPI document is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from vecsearch.serving.limits import CHARACTERS, DEEPEST, FACETS, INPUT_CHARACTERS, INPUTS, QUERIES
from vecsearch.serving.problems import Problem, invalid

Mode = Literal["hybrid", "meaning", "keywords"]
Text = Annotated[str, Field(max_length=CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=CHARACTERS)]
Whole = Annotated[int, BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)]
"""JSON has one kind of number: 10.0 is a whole one."""
Vector = Annotated[list[float], Field(min_length=1, max_length=65_536)]
ASKING = ("q", "queries", "vector", "vectors", "like")
"""What is searched with; none of them browses."""


class Request(BaseModel):
    """A request's body. What is not in the table is refused, and nothing is read as something else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class SearchRequest(Request):
    """A search: by one of q, queries, vector, vectors and like; without any of them the documents that meet `where`."""

    q: Text | None = Field(None, description="A text.", examples=["sort a list"])
    queries: list[Text] | None = Field(None, min_length=1, max_length=QUERIES, description="Several texts, a result for each.")
    vector: Vector | None = Field(None, description="A query vector, as long as the index's vectors.")
    vectors: list[Vector] | None = Field(None, min_length=1, max_length=QUERIES, description="Several of them.")
    like: Name | None = Field(None, description="The id of a document: what is most like it.")
    mode: Mode | None = Field(None, description="How texts are found. By default the first of the index's modes.")
    k: Whole = Field(10, ge=1, le=DEEPEST, description=f"Hits of each query. k + offset is at most {DEEPEST:,}.")
    offset: Whole = Field(0, ge=0, lt=DEEPEST, description="Hits that are passed over.")
    where: Text | None = Field(None, description="A condition on fields, in SQL: year > 1990 and genre = 'noir'.")
    min_score: float | None = Field(None, description="Hits that score less are left out.")
    metric: Literal["cosine", "inner_product"] | None = Field(None, description="By default the index's own.")
    exact: bool = Field(False, description="Look at every vector, whatever the index's kind.")
    weights: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Of meaning and of words, for the hybrid mode."
    )
    facets: list[Name] | None = Field(None, max_length=FACETS, description="Fields whose values are counted, or cluster.")
    explain: bool = Field(False, description="Say what each word of a hit contributes to its score by meaning.")
    snippets: bool = Field(False, description="Give each hit its best sentence, with the words that answer marked.")
    generation: Whole | None = Field(None, ge=1, description="Refuse to answer from another generation (409).")
    text_characters: Whole | None = Field(None, ge=0, description="Cut longer texts to so many characters.")

    @model_validator(mode="after")
    def _together(self) -> SearchRequest:
        given = [name for name in ASKING if getattr(self, name) is not None]
        if len(given) > 1:
            raise PydanticCustomError("together", f"{' and '.join(given)} are given; search with one of them")
        if self.k + self.offset > DEEPEST:
            raise PydanticCustomError(
                "together", f"k + offset is {self.k + self.offset:,}, more than {DEEPEST:,}; ask a narrower question"
            )
        if self.weights and not sum(self.weights):
            raise PydanticCustomError("together", "weights are both 0; give one that is above 0")
        return self


IN_ADDRESS = (
    "q",
    "like",
    "mode",
    "k",
    "offset",
    "where",
    "min_score",
    "metric",
    "exact",
    "facets",
    "explain",
    "snippets",
    "generation",
    "text_characters",
)
"""What a search may be given in an address as well."""


class EmbeddingsRequest(Request):
    """OpenAI's request for embeddings."""

    model: Name = Field(description="The name of an index.")
    input: Annotated[str, Field(max_length=INPUT_CHARACTERS)] | list[Any] = Field(
        description="A text, or several.",
        json_schema_extra={
            "anyOf": [
                {"type": "string", "maxLength": INPUT_CHARACTERS},
                {
                    "type": "array",
                    "items": {"type": "string", "maxLength": INPUT_CHARACTERS},
                    "minItems": 1,
                    "maxItems": INPUTS,
                },
            ]
        },
    )
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: of little-endian float32.")
    dimensions: Whole | None = Field(None, ge=1, description="Only that of the index.")
    user: str | None = Field(None, description="Ignored.")


R = TypeVar("R", bound=Request)


def read_json(kind: type[R], body: bytes) -> R:
    """A request's body. Raises Problem (400) for what is no JSON, (422) for what the table does not have."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "invalid_json", f"the body is not JSON: {error}", "NaN and infinity are no JSON") from None
    if not isinstance(given, dict):
        raise invalid("the body is no JSON object", 'give one, such as {"q": "a text"}')
    return checked(kind, given)


def read_address(pairs: Sequence[tuple[str, str]]) -> SearchRequest:
    """A search as an address has it. Raises Problem (422)."""
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name not in IN_ADDRESS:
            raise invalid(f"there is no {name!r} in an address", f"there are {', '.join(IN_ADDRESS)}; POST takes more")
        if name in given:
            raise invalid(f"{name} is given twice")
        given[name] = _typed(name, value)
    return checked(SearchRequest, given)


def _typed(name: str, value: str) -> Any:
    """What stands in an address as the kind of value that the table has; what cannot be it stays a text, and is refused."""
    kind = _kinds()[name]
    if kind == "array":
        return value.split(",")
    if kind == "string":
        return value
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
    return value if found is None else found


@cache
def _kinds() -> Mapping[str, str]:
    """The JSON type of each parameter."""
    properties = SearchRequest.model_json_schema()["properties"]
    return {name: (its.get("type") or its["anyOf"][0].get("type", "string")) for name, its in properties.items()}


def checked(kind: type[R], given: Mapping[str, Any]) -> R:
    """The request, as the table has it. Raises Problem (422) that names the first thing that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _refused(kind, error.errors(include_url=False)[0]) from None


def _refused(kind: type[Request], error: Mapping[str, Any]) -> Problem:
    place = ".".join(str(part) for part in error["loc"] if not str(part).startswith(("list[", "function-", "constrained-")))
    if error["type"] == "together":
        message, _, hint = error["msg"].partition("; ")
        return invalid(message, hint)
    if error["type"] == "extra_forbidden":
        return invalid(f"there is no {place[:100]!r} in this request", f"there are {', '.join(kind.model_fields)}")
    if error["type"] == "missing":
        return invalid(f"{place} is missing")
    said = error["msg"].removeprefix("Input ").replace("String ", "it ").replace("List ", "it ")
    return invalid(f"{place} is {_short(error['input'])}: {said[:1].lower()}{said[1:]}")


def _short(value: Any) -> str:
    """A value in few words; lists and texts by what they are."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"a text of {len(value):,} characters"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    return "an object" if isinstance(value, dict) else repr(value)[:60]
