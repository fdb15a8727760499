"""Downloads against a server of our own: resumed, verified, atomic."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vecsearch.encoders.ulmfit import download as module
from vecsearch.encoders.ulmfit.download import HEAD_BYTES, PRETRAINED, Archive, download, fetch
from vecsearch.errors import DataError, ResourceError, UsageError

CONTENT = bytes(range(256)) * 4096 + b"behind the first megabyte" * 1000
SIZE = len(CONTENT)


class Handler(BaseHTTPRequestHandler):
    """Serves `server.content`; `server.stop_after` breaks the connection, `server.ranges` says whether it can resume."""

    def do_GET(self):
        self.server.requests.append(self.headers.get("Range"))
        if self.path != "/model.tgz":
            self.send_error(404)
            return
        start = 0
        if self.server.ranges and (asked := self.headers.get("Range")):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.stop_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.stop_after, server.ranges, server.requests = CONTENT, None, True, []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def archive(server, *, size=SIZE, name="model.tgz"):
    md5 = hashlib.md5(CONTENT[:HEAD_BYTES]).hexdigest()
    return Archive(f"http://127.0.0.1:{server.server_port}/{name}", size, md5)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_whole_download_is_the_file_and_nothing_else(server, tmp_path):
    steps = []
    fetch(archive(server), tmp_path / "new" / "model.tgz", progress=steps.append)
    assert files(tmp_path / "new") == {"model.tgz": CONTENT}
    assert sum(steps) == SIZE
    assert server.requests == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(server, tmp_path, ranges):
    path = tmp_path / "model.tgz"
    server.stop_after, server.ranges = 300_000, ranges
    with pytest.raises(ResourceError, match=r"after 300,000 of 1,073,576 bytes; run the same command again"):
        fetch(archive(server), path)
    assert files(tmp_path) == {"model.tgz.part": CONTENT[:300_000]}

    server.stop_after, steps = None, []
    fetch(archive(server), path, progress=steps.append)
    assert files(tmp_path) == {"model.tgz": CONTENT}
    assert sum(steps) == SIZE
    assert server.requests == [None, "bytes=300000-"]


def test_a_part_that_is_whole_needs_no_network(tmp_path, server):
    (tmp_path / "model.tgz.part").write_bytes(CONTENT)
    fetch(archive(server), tmp_path / "model.tgz")
    assert files(tmp_path) == {"model.tgz": CONTENT}
    assert server.requests == []


def test_a_part_that_is_too_long_begins_again(tmp_path, server):
    (tmp_path / "model.tgz.part").write_bytes(CONTENT + b"more")
    fetch(archive(server), tmp_path / "model.tgz")
    assert files(tmp_path) == {"model.tgz": CONTENT}
    assert server.requests == [None]


def test_a_wrong_checksum_is_shown_and_nothing_is_kept(server, tmp_path):
    server.content = bytes(len(CONTENT))
    found, expected = (hashlib.md5(content[:HEAD_BYTES]).hexdigest() for content in (server.content, CONTENT))
    with pytest.raises(DataError, match=rf"MD5 {found}, expected {expected}"):
        fetch(archive(server), tmp_path / "model.tgz")
    assert files(tmp_path) == {}


def test_a_wrong_size_is_seen_before_the_first_byte(server, tmp_path):
    with pytest.raises(DataError, match=r"it has 1,073,576 bytes, expected 1,073,577"):
        fetch(archive(server, size=SIZE + 1), tmp_path / "model.tgz")
    assert not (tmp_path / "model.tgz").exists()


def test_an_answer_of_404(server, tmp_path):
    with pytest.raises(ResourceError, match=r"none\.tgz: the server answers 404 Not Found"):
        fetch(archive(server, name="none.tgz"), tmp_path / "model.tgz")
    assert not (tmp_path / "model.tgz").exists()


def test_no_network(tmp_path):
    with pytest.raises(ResourceError, match=r"after 0 of 5 bytes; .* or give the path of a file you have"):
        fetch(Archive("http://127.0.0.1:1/model.tgz", 5, ""), tmp_path / "model.tgz")


def test_stock_models_are_fetched_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PRETRAINED", {"wt103-fwd": archive(server)})
    for _ in range(2):
        assert download("wt103-fwd", tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1
    (tmp_path / "wt103-fwd.tgz").write_bytes(bytes(len(CONTENT)))
    assert download("wt103-fwd", tmp_path).read_bytes() == CONTENT


def test_an_unknown_stock_model(tmp_path):
    with pytest.raises(UsageError, match=r"no stock model 'bert'; there are wt103-fwd, wt103-bwd"):
        download("bert", tmp_path)


def test_stock_urls_are_fastais_own():
    from fastai.data.external import URLs

    assert {name: archive.url for name, archive in PRETRAINED.items()} == {
        "wt103-fwd": URLs.WT103_FWD,
        "wt103-bwd": URLs.WT103_BWD,
    }
