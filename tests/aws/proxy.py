"""A server on loopback that stands between ferry and a cloud. It holds every request against AWS's own service models
and botocore's signer; what it then answers is the caller's matter.

    proxy = Proxy(secret, answer)     answer(Request) gives an Answer, in a thread of its own
    proxy.url, proxy.complaints, proxy.actions

`pass_on(netloc, request)` is the plainest answer: what the server at `netloc` says.
"""
import dataclasses
import http.client
import http.server
import sys
import threading

import models

OF_THIS_HOP = {"content-length", "connection", "transfer-encoding", "date", "server"}


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes
    service: str = ""
    action: str = ""
    params: dict = dataclasses.field(default_factory=dict)  # as identify() of models.py gives them


@dataclasses.dataclass
class Answer:
    status: int
    headers: list
    body: bytes


def pass_on(netloc, request, body=None):
    """The answer of the server at `netloc` to the request, or to the request with another body."""
    upstream = http.client.HTTPConnection(netloc)
    body = request.body if body is None else body
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
    upstream.request(request.method, request.path, body, headers)
    answer = upstream.getresponse()
    text = answer.read()
    upstream.close()
    return Answer(answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in OF_THIS_HOP], text)


def rehearsal_env(home):
    """Where the rehearsal cloud of this home is and its keys, as `ferry rehearsal env` has a shell export them."""
    lines = home.good("rehearsal", "env").out.splitlines()
    pairs = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    return {key: value.strip("'\"") for key, value in pairs.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are written apart

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/checkip":  # no service of AWS's: where there is nobody to tell it, the caller is here
            self.send_error(404)
            return
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.proxy.judge(request, f"http://{self.headers['Host']}{self.path}")
        answer = self.server.proxy.answer(request)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # whoever asked was killed
            super().handle_error(request, client_address)


class Proxy:
    def __init__(self, secret, answer):
        self.secret, self.answer = secret, answer
        self.complaints, self.actions = [], set()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def judge(self, request, url):
        whole = (request.method, url, request.headers, request.body)
        request.service, request.action, request.params = models.identify(*whole)
        _, _, found = models.check_request(*whole)
        found += models.check_signature(*whole, self.secret)
        self.complaints.extend(f"{request.service} {request.action}: {complaint}" for complaint in found)
        prefix = {"service-quotas": "servicequotas"}.get(request.service, request.service)
        self.actions.add(f"{prefix}:{request.action}")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
