"""Embeddings in OpenAI's shape: its own client, and LangChain's, can be pointed at a service."""

from __future__ import annotations

import base64

import httpx
import numpy as np
import openai
import pytest
from serving import DIM, LOCAL, refusal, serving

from vecsearch import Document, Index
from vecsearch.serving import answers
from vecsearch.serving.guard import Access

KEY = "a-key-of-enough-letters"
TEXTS = ["the king", "a heist at night", "", "zzz", "the king"]


@pytest.fixture(scope="module")
def service(tmp_path_factory, served_folder):
    place = tmp_path_factory.mktemp("openai")
    Index.build(place / "bare", [Document("1", "x")], vectors=[np.ones((1, 2), np.float32)]).close()
    with serving({"films": served_folder, "bare": place / "bare"}, Access(KEY), batch=2) as served:
        yield served


@pytest.fixture(scope="module")
def vectors(service):
    return service.service.shown("films").index.encode(TEXTS)


@pytest.fixture
def http(service):
    """An HTTP client, as OpenAI's takes one, that asks the service in this process."""

    class Transport(httpx.BaseTransport):
        def handle_request(self, request):
            got = service.client.request(
                request.method, request.url.raw_path.decode(), content=request.read(), headers=dict(request.headers)
            )
            return httpx.Response(got.status_code, headers=got.headers, content=got.content)

    with httpx.Client(transport=Transport()) as client:
        yield client


@pytest.fixture
def client(http):
    return openai.OpenAI(base_url=f"{LOCAL}/v1", api_key=KEY, http_client=http, max_retries=0)


@pytest.mark.parametrize("format", ["float", "base64", openai.omit])
def test_the_client_gets_the_vectors_of_the_index(client, vectors, format):
    got = client.embeddings.create(model="films", input=TEXTS, encoding_format=format)
    rows = [
        np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else row for row in (e.embedding for e in got.data)
    ]
    np.testing.assert_allclose(rows, vectors, atol=1e-6)
    assert [each.index for each in got.data] == list(range(len(TEXTS))) and got.usage.total_tokens > 0
    one = client.embeddings.create(model="films", input=TEXTS[0], dimensions=DIM)
    np.testing.assert_allclose(one.data[0].embedding, vectors[0], atol=1e-6)


def test_models_are_the_indexes_with_an_encoder(client):
    assert [model.id for model in client.models.list()] == ["films"]
    assert client.models.retrieve("films").owned_by == "vecsearch"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_the_client_is_told_what_is_wrong(client):
    with pytest.raises(openai.BadRequestError, match="tokens") as refused:
        client.embeddings.create(model="films", input=[[1, 2], [3]])
    assert (refused.value.code, refused.value.type) == ("tokens_not_supported", "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.embeddings.create(model="films", input=[1, 2, 3])
    with pytest.raises(openai.NotFoundError, match="nothing"):
        client.embeddings.create(model="nothing", input="a")
    for wrong in ({"model": "bare"}, {"dimensions": 5}, {"input": []}, {"input": ["x" * 40_000]}, {"input": ["x"] * 3000}):
        with pytest.raises(openai.UnprocessableEntityError):
            client.embeddings.create(**({"model": "films", "input": "a"} | wrong))
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another-key-altogether").models.list()


def test_answers_are_as_they_are_described(service):
    headers = {"authorization": f"Bearer {KEY}"}
    got = service.client.post("/v1/embeddings", json={"model": "films", "input": TEXTS}, headers=headers)
    answers.Embeddings.model_validate_json(got.content)
    answers.Models.model_validate_json(service.client.get("/v1/models", headers=headers).content)
    asked = {"model": "films", "input": 3}
    refusal(service.client.post("/v1/embeddings", json=asked, headers=headers), 422, "invalid_request")


def test_langchain_gets_them(http, vectors):
    langchain = pytest.importorskip("langchain_openai")
    embedder = langchain.OpenAIEmbeddings(
        model="films", base_url=f"{LOCAL}/v1", api_key=KEY, http_client=http, check_embedding_ctx_length=False
    )
    np.testing.assert_allclose(embedder.embed_documents(TEXTS), vectors, atol=1e-6)
    np.testing.assert_allclose(embedder.embed_query(TEXTS[1]), vectors[1], atol=1e-6)
