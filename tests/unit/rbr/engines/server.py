"""A vLLM server in a few lines: the paths that the engines call, and scripted faults.

It answers requests for chosen tokens, for the likeliest ones (as any OpenAI-compatible server) and
for drawn ones.
"""

from __future__ import annotations

import json
import math
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VOCABULARY = {"yes": 1, "Yes": 2, " yes": 3, "no": 11, "No": 12, " no": 13, " NO": 14}
TEXTS = {token: text for text, token in VOCABULARY.items()}

Fault = Callable[["FakeServer", dict[str, Any], int], tuple[int, Any] | None]
"""Given a chat request and how many came before it: another status and body, or None."""


class FakeServer(ThreadingHTTPServer):
    """`chats` holds every chat request; `most_at_once` the highest number in flight."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.fault: Fault = lambda server, body, number: None
        self.models: list[dict[str, Any]] = [
            {"id": "grader", "root": "/models/grader", "parent": None, "max_model_len": 2048}
        ]
        self.version = "0.32.0"
        self.most_top_logprobs = 20
        self.template = ""  # stands before every chat
        self.delay = 0.0
        self.token = ""
        self.chats: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_at_once = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        with self.lock:
            number = len(self.chats)
            self.chats.append(body)
            self.in_flight += 1
            self.most_at_once = max(self.most_at_once, self.in_flight)
        try:
            time.sleep(self.delay)
            return self.fault(self, body, number) or self.answer(body)
        finally:
            with self.lock:
                self.in_flight -= 1

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        if body.get("n", 1) > 1:
            return 200, drawn(body)
        if "top_logprobs" not in body:
            return 200, completion(body)
        if body["top_logprobs"] > self.most_top_logprobs:
            return 400, {"error": {"message": "top_logprobs is too large"}}
        return 200, likeliest(body)


def drawn(body: dict[str, Any]) -> dict[str, Any]:
    """Half of the draws are the token 60, the others 2 and 61."""
    tokens = [[60, 2, 60, 61][number % 4] for number in range(body["n"])]
    return {"choices": [{"token_ids": [token]} for token in tokens], "usage": {}}


def likeliest(body: dict[str, Any], tokens: dict[str, float] | None = None) -> dict[str, Any]:
    """By default Yes .6, " yes" .1, No .2 and then words at .001 each; without a "sorry" in the
    prompt Yes .2 and No .6."""
    sorry = "sorry" in body["messages"][0]["content"].casefold()
    given = tokens or {"Yes" if sorry else "No": 0.6, " yes": 0.1, "No" if sorry else "Yes": 0.2}
    filled = given if tokens else given | {f"w{n}": 0.001 for n in range(body["top_logprobs"] - 3)}
    entries = [
        {"token": text, "logprob": math.log(p) if p > 0 else -9999.0} for text, p in filled.items()
    ]
    return {
        "choices": [
            {
                "message": {"role": "assistant", "content": entries[0]["token"]},
                "logprobs": {"content": [{**entries[0], "top_logprobs": entries}]},
            }
        ],
        "usage": {"prompt_tokens": 30},
    }


def completion(body: dict[str, Any], **replaced: float) -> dict[str, Any]:
    """p_yes = .2 + .1 + .1 = .4 and p_no = .1; a "sorry" in the prompt turns that round."""
    p = {1: 0.2, 2: 0.1, 3: 0.1, 11: 0.04, 12: 0.03, 13: 0.02, 14: 0.01}
    if "sorry" not in body["messages"][0]["content"].casefold():
        p = {1: 0.04, 2: 0.03, 3: 0.03, 11: 0.1, 12: 0.1, 13: 0.1, 14: 0.1}
    p |= {60: 0.3, 61: 0.05}
    entries = [
        {"token": f"token_id:{token}", "logprob": replaced.get(f"t{token}", math.log(p[token]))}
        for token in body["logprob_token_ids"]
    ]
    sampled = max(entries, key=lambda entry: entry["logprob"])
    return {
        "choices": [
            {
                "message": {"role": "assistant", "content": "Yes"},
                "logprobs": {"content": [{**sampled, "top_logprobs": [sampled, *entries]}]},
            }
        ],
        "usage": {"prompt_tokens": 30, "prompt_tokens_details": {"cached_tokens": 16}},
    }


def _tokens(body: dict[str, Any], template: str) -> list[int]:
    if "messages" in body:
        words = f"{template} {' '.join(message['content'] for message in body['messages'])}".split()
        return [zlib.crc32(word.encode()) for word in words]
    text = body["prompt"]
    return [VOCABULARY[text]] if text in VOCABULARY else [50 + ord(letter) for letter in text]


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers))
        found = {
            "/version": {"version": self.server.version},
            "/v1/models": {"data": self.server.models},
        }
        if self.path in found:
            self._send(200, found[self.path])
        else:
            self._send(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._send(401, {"error": "Unauthorized"})
        elif self.path == "/tokenize":
            self._send(200, {"tokens": _tokens(body, self.server.template)})
        elif self.path == "/detokenize":
            self._send(200, {"prompt": "".join(TEXTS.get(token, "?") for token in body["tokens"])})
        elif self.path == "/v1/chat/completions":
            status, answer = self.server.chat(body)
            if status:
                self._send(status, answer)
            else:
                self.close_connection = True  # hang up without a word
        else:
            self._send(404, {"error": {"message": "no such path"}})

    def _send(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """A test's output is the test's."""


@contextmanager
def fake_servers(count: int) -> Iterator[list[FakeServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(fake_server()) for _ in range(count)]


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    server = FakeServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
