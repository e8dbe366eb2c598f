"""A model hub on loopback that serves one repository the way huggingface_hub asks for it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REPOSITORY = "somebody/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What was asked for: whole files downloaded, and bytes sent of each file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = ""
        self.downloaded: set[str] = set()
        self.sent: dict[str, int] = {}
        self.ignores_ranges = False


@contextmanager
def serving(directory: Path) -> Iterator[Hub]:
    """Serve ``directory`` as REPOSITORY until the end of the block."""
    hub = Hub(directory)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two of them wait for each other's acknowledgement

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            if re.fullmatch(rf"/api/models/{REPOSITORY}(/revision/(main|{COMMIT}))?", path):
                files = [{"rfilename": f.name, "size": f.stat().st_size} for f in sorted(hub.directory.iterdir())]
                description = {"id": REPOSITORY, "sha": COMMIT, "siblings": files}
                return self._send(200, json.dumps(description).encode(), body, {"Content-Type": "application/json"})
            found = re.fullmatch(rf"/{REPOSITORY}/resolve/(?:main|{COMMIT})/([^/]+)", path)
            if found and (hub.directory / found[1]).is_file():
                return self._file(found[1], body)
            return self._send(404, b"{}", body, {"X-Error-Code": "EntryNotFound" if found else "RepoNotFound"})

        def _file(self, name: str, body: bool) -> None:
            data = (hub.directory / name).read_bytes()
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            status = 200
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if wanted and not hub.ignores_ranges:
                start, end = int(wanted[1]), int(wanted[2]) + 1
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
                data, status = data[start:end], 206
            elif body:
                hub.downloaded.add(name)
            if body:
                hub.sent[name] = hub.sent.get(name, 0) + len(data)
            self._send(status, data, body, headers)

        def _send(self, status: int, data: bytes, body: bool, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

    return Handler
