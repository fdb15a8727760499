"""The service's answers: the same as the library's, described truly, and a sentence for everything that is wrong."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from serving import DIM, EVIL, LOCAL, SLOW, films, refusal, serving

from vecsearch import Document, Index
from vecsearch.serving import answers
from vecsearch.serving.guard import Access

INDEXES = Path(__file__).parent / "indexes"
KEY = "a-key-of-enough-letters"


@pytest.fixture(scope="module")
def folder(served_folder):
    return served_folder


@pytest.fixture(scope="module")
def index(folder):
    with Index.open(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def service(folder):
    with serving({"films": folder}, condition=0.2) as served:
        yield served


def got(answer):
    """Ids and scores of the hits of each result."""
    return [[(hit["id"], hit["score"]) for hit in result["hits"]] for result in answer["results"]]


def same(answer, hits):
    expected = [[(hit.id, hit.score) for hit in found] for found in hits]
    assert [[id for id, _ in found] for found in got(answer)] == [[id for id, _ in found] for found in expected]
    flat = [[score for found in both for _, score in found] for both in (got(answer), expected)]
    np.testing.assert_allclose(*flat, atol=1e-6)


# -- searching -----------------------------------------------------------------------------------------------------------


def test_texts_find_what_the_library_finds(service, index):
    texts = ["the king and the queen", "a heist at night", "bread"]
    same(service.search(queries=texts, k=4), index.hybrid(texts, 4))
    same(service.search(queries=texts, k=4, mode="meaning", metric="inner_product"), index.query(texts, 4, metric="ip"))
    same(service.search(queries=texts, k=4, mode="keywords"), index.keywords(texts, 4))
    same(service.search(q=texts[0], weights=[1, 0]), index.hybrid(texts[:1], weights=(1, 0)))
    where = "year > 1960 and genre = 'noir'"
    same(service.search(q=texts[0], where=where, k=50, mode="meaning"), index.query(texts[:1], 50, where=where))


def test_vectors_and_documents_find_what_the_library_finds(service, index):
    vectors = np.random.default_rng(0).normal(size=(3, DIM)).round(3)
    same(service.search(vectors=vectors.tolist(), k=5, exact=True), index.nearest(vectors, 5))
    same(service.search(vector=vectors[0].tolist()), index.nearest(vectors[:1]))
    same(service.search(like="d7", k=5), index.similar(["d7"], 5))
    same(service.search(like="a/b ü", k=5), index.similar(["a/b ü"], 5))


def test_an_address_asks_as_a_body_does(service):
    asked = {"q": "the king", "k": 3, "offset": 1, "mode": "meaning", "where": "year > 1960", "facets": ["genre", "cluster"]}
    by_address = service.client.get("/v1/indexes/films/search", params={**asked, "facets": "genre,cluster"}).json()
    by_body = service.search(**asked)
    assert by_address["results"] == by_body["results"] and by_body["results"][0]["facets"].keys() == {"genre", "cluster"}


def test_pages_follow_one_another(service, index):
    whole = got(service.search(q="king", k=20, mode="meaning"))[0]
    pages = [got(service.search(q="king", k=5, offset=first, mode="meaning"))[0] for first in (0, 5, 10, 15)]
    assert [hit for page in pages for hit in page] == whole
    least = whole[7][1]
    assert got(service.search(q="king", k=20, mode="meaning", min_score=least))[0] == whole[:8]


def test_without_anything_to_search_with_documents_are_browsed(service):
    ids = [document.id for document in films()]
    answer = service.search(k=7, offset=3)
    assert got(answer)[0] == [(id, None) for id in ids[3:10]] and answer["mode"] == "browse"
    answer = service.search(where="genre = 'comedy'", k=3, facets=["tags"])
    assert [id for id, _ in got(answer)[0]] == ["d1", "d3", "d5"]
    assert answer["results"][0]["total"] == 20
    facet = answer["results"][0]["facets"]["tags"]
    assert facet == {
        "values": [{"value": "a", "documents": 20}, {"value": "b", "documents": 13}, {"value": "c", "documents": 6}],
        "others": 0,
        "documents": 20,
    }


def test_totals_count_what_could_be_a_hit(service):
    assert service.search(q="king")["results"][0]["total"] == 41
    assert service.search(q="king", where="year >= 1980")["results"][0]["total"] == 10
    having = [document for document in films() if "heist" in document.text]
    by_words = service.search(queries=["heist", "nowhere"], mode="keywords", k=50)["results"]
    assert [result["total"] for result in by_words] == [len(having), 0]
    assert len(by_words[0]["hits"]) == len(having)


def test_what_should_be_known_of_an_answer_is_noted(service):
    (note,) = service.search(q="king", where="year > 1960")["results"][0]["notes"]
    assert "'year'" in note and "text" in note
    (note,) = service.search(q="zzz", mode="meaning")["results"][0]["notes"]
    assert "known" in note


def test_words_and_snippets_are_given_where_they_are_asked_for(service):
    hit = service.search(q="king", mode="meaning", k=1, explain=True, snippets=True)["results"][0]["hits"][0]
    assert sum(word["contribution"] for word in hit["words"]) == pytest.approx(hit["score"], abs=1e-5)
    assert all(hit["text"][word["start"] : word["stop"]] == word["word"] for word in hit["words"])
    marked = [hit["snippet"]["text"][first:last].lower() for first, last in hit["snippet"]["marks"]]
    assert "king" in marked
    result = service.search(q="king", mode="keywords", explain=True)["results"][0]
    assert result["explained"] is False and result["notes"]
    assert "snippet" not in service.search(q="king")["results"][0]["hits"][0]


def test_long_texts_are_cut_where_that_is_asked_for(service):
    hits = service.search(like="d0", text_characters=9)["results"][0]["hits"]
    assert all(len(hit["text"]) == 9 and hit["text_cut"] for hit in hits)
    assert "text_cut" not in service.search(like="d0", text_characters=900)["results"][0]["hits"][0]


def test_markup_stays_a_text(service):
    (hit,) = service.search(q="quotes", mode="keywords")["results"][0]["hits"]
    assert (hit["id"], hit["title"]) == ("a/b ü", EVIL) and EVIL in hit["text"]
    answer = service.client.post("/v1/indexes/films/search", json={"q": EVIL, "mode": "keywords"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


# -- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": -3}, "k is -3"),
        ({"k": 10**30}, "k is"),
        ({"k": 1.5}, "k is 1.5"),
        ({"k": True}, "k is True"),
        ({"k": 900, "offset": 200}, "1,100"),
        ({"queries": ["x"] * 10_000}, "queries"),
        ({"q": "x" * 10_001}, "10,001"),
        ({"queries": []}, "queries"),
        ({"q": "a", "like": "d0"}, "q and like"),
        ({"vector": [1, 2]}, f"have {DIM}"),
        ({"vector": [1e300] * DIM}, "infinit"),
        ({"q": "a", "mode": "magic"}, "magic"),
        ({"q": "a", "limit": 3}, "'limit'"),
        ({"q": "a", "where": "year >"}, "year >"),
        ({"q": "a", "where": "nothing = 1"}, "'nothing'"),
        ({"q": "a", "where": "1; drop table documents"}, "drop"),
        ({"q": "a", "where": "year in (select load_extension('x'))"}, "load_extension"),
        ({"where": "(select text from sqlite_master) is null"}, "sqlite_master"),
        ({"where": SLOW}, "takes longer than"),
        ({"q": "a", "facets": ["nothing"]}, "'nothing'"),
        ({"q": "a", "weights": [0, 0]}, "weights"),
        ({"q": "a", "mode": "keywords", "weights": [1, 1]}, "weights"),
        ({"like": "d0", "mode": "meaning"}, "mode"),
        ({"min_score": 0.5}, "min_score"),
        ({"q": "a", "k": 500, "explain": True}, "500"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_makes_no_sense_is_refused_with_what_is_wrong(service, asked, said):
    assert said in service.refused(422, "invalid_request", **asked)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"k": NaN}', b'{"min_score": Infinity}', b'{"min_score": 1e999}', b"\xff", b'{"q": "\\ud800"}', b"[" * 5000],
)
def test_what_is_no_json_is_refused(service, body):
    refusal(service.client.post("/v1/indexes/films/search", content=body), 400, "invalid_json")


@pytest.mark.parametrize("query", ["k=x", "k=", "k=1&k=2", "explain=yes", "vectors=1", "facets=", "k=NaN"])
def test_so_is_an_address_that_makes_no_sense(service, query):
    assert query.partition("=")[0] in refusal(
        service.client.get(f"/v1/indexes/films/search?q=a&{query}"), 422, "invalid_request"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/v1/indexes/nothing",
        "/v1/indexes/..%2F..%2Fetc/search?q=a",
        "/v1/indexes/%2Fetc%2Fpasswd",
        "/v1/indexes/films%00",
        "/v1/indexes/nothing/documents/d0",
        "/v1/indexes/nothing/map",
        "/v1/models/nothing",
        "/v1/indexes/",
    ],
)
def test_names_are_looked_up_and_open_nothing(service, path):
    got = service.client.get(path)
    assert got.status_code == 404 and got.json()["error"]["code"] in ("unknown_index", "not_found")
    assert "/tmp" not in got.text.replace(path, "")


@pytest.mark.parametrize("path", ["/page.html", "/v1", "/static/../../etc/passwd", "/docs"])
def test_there_is_nothing_elsewhere(service, path):
    refusal(service.client.get(path), 404, "not_found")


def test_a_method_that_is_not_there_is_refused(service):
    got = service.client.delete("/v1/indexes/films/search")
    refusal(got, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(re.split(", ?", got.headers["allow"]))


def test_an_unknown_document_is_not_found(service):
    service.refused(404, "unknown_document", like="nobody")
    refusal(service.client.get("/v1/indexes/films/documents/nobody"), 404, "unknown_document")


def test_another_generation_is_refused_with_what_is_shown(service):
    shown = service.search(q="king")["generation"]
    assert service.search(q="king", generation=shown)["generation"] == shown
    assert str(shown) in service.refused(409, "other_generation", q="king", generation=shown + 1)


def test_a_fault_of_the_service_tells_nothing_of_its_files(tmp_path, capsys):
    folder = tmp_path / "long"
    long = [Document(f"d{i}", "king" + " " * 20_000) for i in range(300)]  # more than SQLite keeps in memory
    Index.build(folder, long, vectors=[np.ones((300, 2), np.float32)]).close()
    with serving({"long": folder}) as served:
        assert served.search("long", q="king", k=5)["mode"] == "keywords"
        (documents,) = (folder / "segments").glob("*/documents.sqlite")
        with documents.open("r+b") as file:
            file.seek(8192)
            file.write(b"\x55" * (documents.stat().st_size - 8192))
        said = served.refused(500, "internal_error", "/v1/indexes/long/search", k=300)
        assert str(tmp_path) not in said and "documents.sqlite" in capsys.readouterr().err
        assert served.client.get("/healthz").status_code == 200


# -- everything else that is answered ------------------------------------------------------------------------------------


def test_an_index_says_what_it_is(service, folder):
    (summary,) = answers.Indexes.model_validate_json(service.client.get("/v1/indexes").content).indexes
    details = answers.Details.model_validate_json(service.client.get("/v1/indexes/films").content)
    assert details.model_dump(include=set(answers.Summary.model_fields)) == summary.model_dump()
    assert (details.documents, details.dim, details.title, details.modes[0]) == (41, DIM, "title", "hybrid")
    assert {field.name for field in details.fields} == {"title", "year", "genre", "tags"}
    assert len(details.clusters) == 2 and details.examples
    for example in details.examples:
        assert service.search(where=example)["results"][0]["total"]


def test_a_document_is_given_whole(service):
    for id in ("d3", "a/b ü"):
        document = answers.Document.model_validate_json(service.client.get(f"/v1/indexes/films/documents/{id}").content)
        expected = next(document for document in films() if document.id == id)
        assert (document.id, document.text, document.fields) == (id, expected.text, expected.fields)


def test_the_map_is_a_page_that_runs_nothing_but_its_own(service):
    got = service.client.get("/v1/indexes/films/map", headers={"accept-encoding": "identity"})
    policy = got.headers["content-security-policy"]
    assert got.headers["content-type"].startswith("text/html") and "Film 3" in got.text
    assert "frame-ancestors 'self'" in policy and "unsafe" not in policy and "'sha256-" in policy
    with service.client.stream("GET", "/v1/indexes/films/map", headers={"accept-encoding": "gzip"}) as packed:
        assert gzip.decompress(b"".join(packed.iter_raw())).decode() == got.text


def test_the_page_may_load_only_what_is_the_service_s_own(service):
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        got = service.client.get(path)
        policy = got.headers["content-security-policy"]
        assert got.status_code == 200 and got.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_health_readiness_and_metrics(service):
    assert service.client.get("/healthz").json() == service.client.get("/readyz").json() == {"status": "ok"}
    service.search(q="king")
    service.refused(422, "invalid_request", k=0)
    text = service.client.get("/metrics").text
    for line in (
        r'vecsearch_requests_total\{route="/v1/indexes/\{name\}/search",status="200"\} [1-9]',
        r'vecsearch_requests_total\{route="/v1/indexes/\{name\}/search",status="422"\} [1-9]',
        r'vecsearch_index_generation\{index="films"\} 2',
        r"vecsearch_batch_queries_count [1-9]",
        r"vecsearch_queue_queries 0\.0",
        r'vecsearch_reload_failures_total\{index="films"\} 0',
    ):
        assert re.search(line, text), line
    service.service.ready = False
    try:
        ending = service.client.get("/readyz")
        assert (ending.status_code, ending.headers["connection"]) == (503, "close")
    finally:
        service.service.ready = True


@pytest.mark.parametrize("format", sorted(path.name for path in INDEXES.iterdir() if path.is_dir()))
def test_indexes_of_earlier_versions_are_served(format):
    folders = {path.name: path for path in (INDEXES / format).iterdir() if (path / "CURRENT").exists()}
    folders |= {format: INDEXES / format} if (INDEXES / format / "CURRENT").exists() else {}
    with serving(folders) as served:
        for summary in served.client.get("/v1/indexes").json()["indexes"]:
            name = summary["name"]
            answers.Details.model_validate_json(served.client.get(f"/v1/indexes/{name}").content)
            (result,) = served.search(name, k=3)["results"]
            assert result["total"] == summary["documents"] > 0
            assert served.search(name, like=result["hits"][0]["id"], k=1)["results"][0]["total"] == summary["documents"]
            for mode in summary["modes"]:
                served.search(name, q=result["hits"][0]["text"][:100], mode=mode)


def test_indexes_without_an_encoder_or_a_document_are_served(tmp_path, folder):
    Index.build(tmp_path / "bare", films(5), vectors=[np.eye(6, 2, dtype=np.float32)]).close()
    shutil.copytree(folder, tmp_path / "empty")
    with Index.open(tmp_path / "empty") as emptied:
        emptied.delete(where="true")
    with serving({"bare": tmp_path / "bare", "empty": tmp_path / "empty"}) as served:
        assert [each["modes"] for each in served.client.get("/v1/indexes").json()["indexes"]] == [
            ["keywords"],
            ["hybrid", "meaning", "keywords"],
        ]
        path = "/v1/indexes/bare/search"
        assert "keywords" in served.refused(422, "invalid_request", path, q="king", mode="meaning")
        assert served.search("bare", vector=[1, 0], k=1)["results"][0]["hits"][0]["id"] == "d0"
        for asked in ({"q": "king"}, {"q": "king", "explain": True, "snippets": True}, {"vector": [0] * DIM}, {}):
            assert served.search("empty", **asked)["results"][0]["hits"] == []
        answers.Details.model_validate_json(served.client.get("/v1/indexes/empty").content)
        refusal(served.client.get("/v1/indexes/empty/map"), 422, "invalid_request")


# -- who may ask ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(folder):
    with serving({"films": folder}, Access(KEY), cors=["https://friend.example"]) as served:
        yield served.client


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"authorization": f"bearer {KEY}"}]
)
def test_who_knows_the_key_is_answered(locked, headers):
    assert locked.get("/v1/indexes", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": ""}, {"authorization": f"Basic {KEY}"}]
)
@pytest.mark.parametrize("path", ["/v1/indexes", "/v1/indexes/films/map", "/metrics", "/openapi.json", "/v1/nothing"])
def test_others_are_not(locked, headers, path):
    locked.cookies.clear()
    assert KEY not in refusal(locked.get(path, headers=headers), 401, "unauthorized")


def test_the_page_and_health_ask_for_no_key(locked):
    assert [locked.get(path).status_code for path in ("/", "/page.js", "/healthz", "/readyz")] == [200] * 4


def test_a_frame_of_the_page_gets_the_map_by_a_cookie_that_does_not_tell_the_key(locked):
    cookie = locked.get("/v1/indexes", headers={"x-api-key": KEY}).headers["set-cookie"]
    locked.cookies.clear()
    assert KEY not in cookie and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    sent = {"cookie": cookie.partition(";")[0]}
    assert locked.get("/v1/indexes/films/map", headers=sent).status_code == 200
    assert locked.get("/v1/indexes/films", headers=sent).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 200), ("localhost:99", 200), ("[::1]:80", 200), ("evil.example", 403)]
)
def test_without_a_key_only_this_machine_is_answered(service, host, status):
    assert service.client.get("/v1/indexes", headers={"host": host}).status_code == status


def test_only_pages_of_origins_that_were_named_may_ask(locked, service):
    def allowed(client, origin):
        headers = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        return client.options("/v1/indexes/films/search", headers=headers).headers.get("access-control-allow-origin")

    assert allowed(locked, "https://friend.example") == "https://friend.example"
    assert allowed(locked, "https://other.example") is None
    assert allowed(service.client, LOCAL) is None
