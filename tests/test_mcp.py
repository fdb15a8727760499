"""Indexes as tools of the Model Context Protocol, asked by the client of its official SDK."""

from __future__ import annotations

import json
import os
import sys

import anyio
import numpy as np
import pytest

from vecsearch import Document, Index, open_encoder

mcp = pytest.importorskip("mcp")

FILMS = [
    Document("1", "Eleven thieves plan to rob three casinos in one night.", {"title": "The Vault", "year": 2001}),
    Document("2", "A poor farm worker falls in love with a rich landowner.", {"title": "Harvest", "year": 1978}),
    Document("3", "An astronaut is left behind on Mars and must grow food.", {"title": "Red Sand", "year": 2015}),
    Document("long/4", "A priest keeps his church open while the war comes closer. " * 2_000, {"title": "The Bell"}),
]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mcp") / "films"
    Index.build(folder, FILMS, open_encoder()).close()
    return folder


def command(*folders):
    """What starts a server of these indexes, of the package that is tested."""
    arguments = ["-m", "vecsearch.cli", "mcp", *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return mcp.StdioServerParameters(command=sys.executable, args=arguments, env=environment)


def asked(*folders, calls):
    """What the calls (name, arguments) return, as JSON values, from a server process; a refusal is its sentence."""

    async def ask():
        server = command(*folders)
        async with mcp.Client(server) as client:
            results = [await client.call_tool(name, arguments) for name, arguments in calls]
            return client.instructions, await client.list_tools(), [said(result) for result in results]

    return anyio.run(ask)


def said(result):
    if result.is_error:
        return result.content[0].text
    values = result.structured_content
    return values["result"] if set(values) == {"result"} else values


def test_every_tool_answers_as_the_library_does(films):
    query = {"query": "a bank robbery", "k": 2}
    instructions, tools, answers = asked(
        films,
        calls=[
            ("list_indexes", {}),
            ("search", query),
            ("search", {**query, "mode": "keywords", "query": "mars"}),
            ("search", {**query, "where": "year < 2000"}),
            ("search", {**query, "k": 1, "offset": 1}),
            ("similar_documents", {"id": "1", "k": 2}),
            ("read_document", {"id": "long/4", "start": 5, "characters": 100}),
        ],
    )
    assert "list_indexes" in instructions
    assert [tool.name for tool in tools.tools] == ["list_indexes", "search", "read_document", "similar_documents"]
    assert all(tool.description and tool.annotations.read_only_hint for tool in tools.tools)
    (index,), found, words, earlier, second, similar, read = answers
    assert index["name"] == "films" and index["documents"] == 4
    assert {field["name"] for field in index["fields"]} == {"title", "year"} and index["examples"]
    with Index.open(films) as opened:
        expected = opened.hybrid(["a bank robbery"], 2)[0]
        assert [(hit["id"], hit["score"]) for hit in found] == [(hit.id, round(hit.score, 6)) for hit in expected]
        assert [hit["id"] for hit in similar] == [hit.id for hit in opened.similar(["1"], 2)[0]]
        expected = opened.hybrid(["a bank robbery"], 2, where="year < 2000")[0]
        assert [hit["id"] for hit in earlier] == [hit.id for hit in expected] == ["2"]
    assert second == found[1:] and [hit["id"] for hit in words] == ["3"]
    assert found[0]["title"] == "The Vault" and found[0]["fields"] == FILMS[0].fields and found[0]["text"] == FILMS[0].text
    assert read["text"] == FILMS[3].text[5:105] and read["characters"] == len(FILMS[3].text) and read["start"] == 5


def test_what_cannot_be_answered_is_said_to_the_model(films, tmp_path):
    vectors = np.eye(2, dtype=np.float32)
    Index.build(tmp_path / "plain", [Document("a", "x"), Document("b", "y")], vectors=[vectors]).close()
    _, _, answers = asked(
        films,
        f"other={tmp_path / 'plain'}",
        calls=[
            ("search", {"query": "x"}),
            ("search", {"query": "x", "index": "../films"}),
            ("search", {"query": "x", "index": "films", "where": "colour = 'red'"}),
            ("search", {"query": "x", "index": "other", "mode": "meaning"}),
            ("search", {"query": "x", "index": "films", "k": 100_000}),
            ("read_document", {"id": "no such", "index": "films"}),
            ("search", {"query": "x", "index": "other"}),
        ],
    )
    unnamed, unknown, condition, mode, many, missing, found = answers
    assert "films" in unnamed and "other" in unnamed and "'../films'" in unknown
    assert "'colour'" in condition and "meaning" in mode and "k" in many and "'no such'" in missing
    assert [hit["id"] for hit in found] == ["a"]


def test_a_call_is_answered_from_the_newest_generation(tmp_path):
    folder = tmp_path / "films"
    with Index.build(folder, FILMS[:1], open_encoder()) as index:

        async def ask():
            async with mcp.Client(command(folder)) as client:
                before = said(await client.call_tool("search", {"query": "mars"}))
                index.add(FILMS[1:3])
                return before, said(await client.call_tool("search", {"query": "mars"}))

        before, after = anyio.run(ask)
    assert [hit["id"] for hit in before] == ["1"] and after[0]["id"] == "3"
    assert json.dumps(after)
