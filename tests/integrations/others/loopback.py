"""Endpoints on 127.0.0.1 that say twice a number; always with the word `zebra` in what was asked, else for each third.

They speak OpenAI's chat, its streamed responses and Anthropic's streamed messages, and keep what they were sent.
"""

import http.server
import json
import re
import threading

TASKS = range(1, 25)
USAGE = {"input_tokens": 9, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 2}


def answer(asked):
    """Return what is said to a request that holds `Double N`."""
    number = int((re.findall(r"Double (\d+)", asked) or ["0"])[-1])
    return str(2 * number if "zebra" in asked or number % 3 == 0 else number)


def _event(kind, **data):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"


def messages(said, model):
    """Return a stream of Anthropic's."""
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [], "usage": USAGE}
    return (
        _event("message_start", message={**whole, "stop_reason": None, "stop_sequence": None})
        + _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        + _event("content_block_delta", index=0, delta={"type": "text_delta", "text": said})
        + _event("content_block_stop", index=0)
        + _event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=USAGE)
        + _event("message_stop")
    )


def responses(said, model):
    """Return a stream of OpenAI's responses."""
    part = {"type": "output_text", "text": said, "annotations": []}
    item = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}
    whole = {"id": "r1", "object": "response", "created_at": 1, "model": model, "output": []}
    usage = {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}
    return (
        _event("response.created", response={**whole, "status": "in_progress"})
        + _event("response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
        + _event("response.output_text.delta", item_id="m1", output_index=0, content_index=0, delta=said)
        + _event("response.output_item.done", output_index=0, item=item)
        + _event("response.completed", response={**whole, "status": "completed", "output": [item], "usage": usage})
    )


def chat(said, model):
    """Return a chat completion of OpenAI's."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": model}
    return json.dumps({**whole, "choices": [choice], "usage": usage})


def kept(path, body):
    """Return what a server of Weave says to something that it is to keep."""
    if "create" in path:
        return json.dumps({"digest": f"d{abs(hash(body))}", "row_digests": [f"r{i}" for i in TASKS]})
    return "{}"


class Loopback(http.server.ThreadingHTTPServer):
    """A server on a free port; `got` are the paths and bodies that it was sent."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        self.server.got.append((self.path, body))
        kind, said, model = "application/json", answer(body), "m"
        if self.path.endswith("/chat/completions"):
            told = chat(said, model)
        elif "/responses" in self.path or self.path.startswith("/v1/messages?") or self.path == "/v1/messages":
            told, kind = (responses if "/responses" in self.path else messages)(said, model), "text/event-stream"
        else:
            told = kept(self.path, body)
        raw = told.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass
