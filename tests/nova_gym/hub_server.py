"""A hub on this machine: it speaks as much of the Hugging Face hub's API as fetching and publishing files needs."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


class Hub:
    """Repositories as {name: {revision: {file: bytes}}}, and what was asked for, as (method, path).

    Attributes:
        tokens: those that may write.
        closed: repositories that only they may read.
        broken: whether it answers everything with 503.
    """

    def __init__(self):
        self.repositories, self.asked, self.tokens, self.closed = {}, [], {"hf_writer"}, set()
        self.broken, self.large = False, {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def downloads(self):
        return [path for method, path in self.asked if method == "GET" and "/resolve/" in path]


def commit_of(files):
    return hashlib.sha1(b"".join(name.encode() + data for name, data in sorted(files.items()))).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # each answer closes its connection, so that a hub that stops is gone

    def log_message(self, *arguments):
        pass

    def _body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status, body=b"", **headers):
        if not isinstance(body, bytes):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, status, code="", message="no"):
        self._send(status, {"error": message}, X_Error_Code=code, X_Error_Message=message)

    def _writes(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ") in self.hub.tokens

    def _resolve(self):
        self.hub.asked.append((self.command, self.path))
        if self.hub.broken:
            return self._fail(503)
        repository, _, rest = urlparse(self.path).path.strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        revisions = self.hub.repositories.get(repository)
        if revisions is None or (repository in self.hub.closed and not self._writes()):
            return self._fail(401, "RepoNotFound")
        files = next((f for r, f in revisions.items() if unquote(revision) in (r, commit_of(f))), None)
        if files is None:
            return self._fail(404, "RevisionNotFound")
        if name not in files:
            return self._fail(404, "EntryNotFound")
        etag = f'"{hashlib.sha256(files[name]).hexdigest()}"'
        return self._send(200, files[name], X_Repo_Commit=commit_of(files), ETag=etag)

    do_GET = do_HEAD = _resolve

    def do_PUT(self):
        self.hub.large[self.path.rpartition("/")[2]] = self._body()
        self._send(200)

    def do_POST(self):
        self.hub.asked.append((self.command, self.path))
        path, body = urlparse(self.path).path, self._body()
        if path == "/api/validate-yaml":
            return self._send(200, {"errors": [], "warnings": []})
        if not self._writes():
            return self._fail(401 if "Authorization" not in self.headers else 403)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            there = name in self.hub.repositories
            self.hub.repositories.setdefault(name, {"main": {}})
            return self._send(409 if there else 200, {"url": f"{self.hub.endpoint}/{name}", "id": name})
        if path.endswith("/info/lfs/objects/batch"):
            made = [
                {**each, "actions": {"upload": {"href": f"{self.hub.endpoint}/large/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self._send(200, {"objects": made, "transfer": "basic"})
        repository, action, revision = path.removeprefix("/api/models/").rsplit("/", 2)
        if revision not in self.hub.repositories[repository]:
            return self._fail(404, "RevisionNotFound")
        if action == "preupload":
            modes = [
                {"path": file["path"], "shouldIgnore": False}
                | {"uploadMode": "regular" if file["path"].endswith(".md") else "lfs"}
                for file in json.loads(body)["files"]
            ]
            return self._send(200, {"files": modes})
        files = self.hub.repositories[repository][revision]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        url = f"{self.hub.endpoint}/{repository}/commit/{commit_of(files)}"
        return self._send(200, {"commitUrl": url, "commitOid": commit_of(files)})
