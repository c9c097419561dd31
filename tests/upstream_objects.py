"""A provider that keeps objects, each with the key that made it, and shows them to nobody else."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.upstream import Action, Request, answer, gemini_error, openai_error, sse

PREFIXES = {"files": "file-", "batches": "batch_", "responses": "resp_", "vector_stores": "vs_", "threads": "thread_"}
KINDS = {"files": "file", "batches": "batch", "responses": "response", "vector_stores": "vector_store"}


class ObjectStore:
    """OpenAI's objects below /v1, Google's files and caches below either version. `made` tells which key made which."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.uploads: dict[str, tuple[str, bytes]] = {}
        self._numbers = itertools.count(1)

    def __call__(self, request: Request) -> Action | None:
        if request.route.startswith("/upload/"):
            return self._upload(request)
        google = re.fullmatch(r"/v1(?:beta)?/(files|cachedContents|batches)(?:/([^/:]+))?(:.*)?", request.route)
        if google and "authorization" not in request.headers:
            return self._google(request, *google.groups())
        if found := re.fullmatch(r"/v1/([a-z_]+)(?:/([^/]+))?(/.*)?", request.route):
            return self._openai(request, *found.groups()) if found[1] in PREFIXES else None
        if found := re.fullmatch(r"/v1beta/(models/[^/]+/operations/[^/]+)", request.route):
            return self._theirs(request, found[1]) or answer(200, self._film(found[1]))
        if re.search(r":(generateContent|predictLongRunning)$", request.route):
            return self._generate(request)
        return None

    # -- OpenAI ---------------------------------------------------------------------------------------------

    def _openai(self, request: Request, collection: str, name: str | None, below: str | None) -> Action:
        if name is None and request.method == "GET":
            return self._listed(request, collection)
        if name is None:
            return self._made(request, collection)
        if self.made.get(f"{collection}/{name}") != request.key:
            return openai_error(404, None, f"No such object: {name}", param="id")
        if request.method == "DELETE":
            del self.made[f"{collection}/{name}"]
            return answer(200, {"id": name, "object": f"{KINDS.get(collection)}.deleted", "deleted": True})
        if below == "/content":
            return answer(200, b"line one\nline two\n", {"Content-Type": "application/octet-stream"})
        return answer(200, self._described(collection, name))

    def _made(self, request: Request, collection: str) -> Action:
        if collection == "responses":
            body = request.json
            before = body.get("previous_response_id")
            if before and self.made.get(f"responses/{before}") != request.key:
                return openai_error(400, "previous_response_not_found", "No such response.")
        name = f"{PREFIXES[collection]}{next(self._numbers):04d}"
        self.made[f"{collection}/{name}"] = request.key or ""
        document = self._described(collection, name)
        if collection == "responses" and request.json.get("stream"):
            done = {"type": "response.completed", "response": document | {"status": "completed"}}
            return sse(
                [
                    {"type": "response.created", "response": document},
                    {"type": "response.output_text.delta", "delta": "Hel"},
                    {"type": "response.output_text.delta", "delta": "lo"},
                    done,
                ]
            )
        return answer(200, document)

    def _described(self, collection: str, name: str) -> dict[str, Any]:
        document: dict[str, Any] = {"id": name, "object": KINDS.get(collection, collection.rstrip("s"))}
        if collection == "batches":
            output = f"file-of-{name}"
            self.made.setdefault(f"files/{output}", self.made[f"batches/{name}"])
            document["output_file_id"] = output
        if collection == "responses":
            document |= {"error": None, "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}}
        return document

    def _listed(self, request: Request, collection: str) -> Action:
        names = [n.partition("/")[2] for n, key in self.made.items() if key == request.key and n.startswith(collection)]
        after = request.query.get("after")
        names = names[names.index(after) + 1 :] if after in names else names
        size = int(request.query.get("limit", 20))
        data = [self._described(collection, name) for name in names[:size]]
        return answer(200, {"object": "list", "data": data, "has_more": len(names) > size})

    # -- Google ---------------------------------------------------------------------------------------------

    def _google(self, request: Request, collection: str, name: str | None, verb: str | None) -> Action:
        if name is None and request.method == "GET":
            return self._google_listed(request, collection)
        if name is None:
            return answer(200, self._keep(request, f"{collection}/g{next(self._numbers):04d}"))
        whole = f"{collection}/{name}"
        refused = self._theirs(request, whole)
        if refused:
            return refused
        if request.method == "DELETE":
            del self.made[whole]
            return answer(200, {})
        if verb == ":download":
            return answer(200, b"\x00\x01video", {"Content-Type": "video/mp4"})
        return answer(200, self._google_described(whole))

    def _google_listed(self, request: Request, collection: str) -> Action:
        names = [name for name, key in self.made.items() if key == request.key and name.startswith(collection)]
        start, size = int(request.query.get("pageToken") or 0), int(request.query.get("pageSize") or 50)
        page: dict[str, Any] = {collection: [self._google_described(name) for name in names[start : start + size]]}
        if start + size < len(names):
            page["nextPageToken"] = str(start + size)
        return answer(200, page)

    def _google_described(self, name: str) -> dict[str, Any]:
        uri = f"https://generativelanguage.googleapis.com/v1beta/{name}"
        expires = "2099-01-02T03:04:05.123456789Z"
        return {"name": name, "uri": uri, "mimeType": "text/plain", "expirationTime": expires, "state": "ACTIVE"}

    def _keep(self, request: Request, name: str) -> dict[str, Any]:
        self.made[name] = request.key or ""
        return self._google_described(name)

    def _film(self, operation: str) -> dict[str, Any]:
        """An operation at its end leads to a file of the same key."""
        name = f"files/film{operation.rpartition('/')[2]}"
        self.made[name] = self.made[operation]
        sample = {"video": {"uri": f"https://generativelanguage.googleapis.com/v1beta/{name}:download?alt=media"}}
        return {"name": operation, "done": True, "response": {"generateVideoResponse": {"generatedSamples": [sample]}}}

    def _theirs(self, request: Request, name: str) -> Action | None:
        if self.made.get(name) == request.key:
            return None
        message = f"You do not have permission to access the File {name} or it may not exist."
        return gemini_error(403, message=message)

    def _generate(self, request: Request) -> Action | None:
        used = re.findall(r"(?:files|cachedContents)/[\w-]+", request.body.decode())
        for name in used:
            refused = self._theirs(request, name)
            if refused:
                return refused
        if request.route.endswith(":predictLongRunning"):
            name = f"models/veo-3/operations/op{next(self._numbers)}"
            self.made[name] = request.key or ""
            return answer(200, {"name": name})
        return None

    def _upload(self, request: Request) -> Action:
        parts = urlsplit(request.path)
        upload_id = parse_qs(parts.query).get("upload_id", [""])[0]
        command = request.headers.get("x-goog-upload-command", "")
        if not upload_id and command == "start":
            upload_id = f"secret-{next(self._numbers)}"
            self.uploads[upload_id] = (request.key or "", b"")
            host = request.headers["host"]
            address = f"http://{host}{parts.path}?key=AIzaEchoed&upload_id={upload_id}&upload_protocol=resumable"
            told = {"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active", "Set-Cookie": "a=b"}
            return answer(200, b"", {**told, "Content-Type": "text/plain", "Content-Length": "0"})
        if not upload_id:
            return answer(200, {"file": self._keep(request, f"files/g{next(self._numbers):04d}")})
        key, data = self.uploads[upload_id]
        if key != request.key:
            return gemini_error(403, message="This upload is another key's.")
        self.uploads[upload_id] = (key, data + request.body)
        if "finalize" not in command:
            return answer(200, b"", {"X-Goog-Upload-Status": "active"})
        document = {"file": self._keep(request, f"files/g{next(self._numbers):04d}")}
        return answer(200, document, {"X-Goog-Upload-Status": "final"})
