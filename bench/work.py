"""What an answer costs who asks for it, in CPU time of the client: a plain request, and one with a proof of work.

    python bench/work.py                          # a minute; openssl and wrk, where they are there, for native clients

A client asks a server on loopback that answers at once; what the server takes is not counted.  A proof costs 2^bits
hashes on average, whose price is measured one by one, in Python (vallum.client) and in native code (`openssl speed`, 64
bytes).  The dearer a client's plain request is, the less the proof adds to it: each pair is of one kind of client.
"""

from __future__ import annotations

import http.client
import importlib
import re
import resource
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BITS = (16, 17, 18, 20)
REQUESTS, HASHES = 1500, 300_000
WRK_S = 3
BODY = b'{"input": [' + b"0.1234, " * 63 + b"0.5]}"
SERVER = """
import asyncio
ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: 38\\r\\n\\r\\n"
ANSWER += b'{"prediction": 7, "confidence": 0.83}\\n'
class One(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(One, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def main() -> None:
    """Print what each kind of client pays."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        python_s, native_s = _hash_python(), _hash_native()
        print(f"{'client':22} {'request us':>11} " + " ".join(f"{bits:>7} bits" for bits in BITS))
        _show("http.client", _request(_standard(port)), python_s)
        for name in ("requests", "httpx"):
            call = _library(name, port)
            if call is not None:
                _show(name, _request(call), python_s)
        if native_s and shutil.which("wrk"):
            _show("wrk, native hashes", _wrk(port), native_s)
        print(f"a hash takes {python_s * 1e6:.2f} us in Python, {native_s * 1e6:.3f} in native code")
    finally:
        server.kill()
        server.wait()


def _show(client: str, request_s: float, hash_s: float) -> None:
    times = " ".join(f"{1 + 2.0**bits * hash_s / request_s:>10.0f} x" for bits in BITS)
    print(f"{client:22} {request_s * 1e6:>11.0f} {times}", flush=True)


def _request(call: Callable[[], None]) -> float:
    """Return the CPU time that a call takes."""
    for _ in range(50):
        call()
    begun = time.process_time()
    for _ in range(REQUESTS):
        call()
    return (time.process_time() - begun) / REQUESTS


def _standard(port: int) -> Callable[[], None]:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def call() -> None:
        connection.request(
            "POST", "/predict", BODY, {"authorization": "Bearer key", "content-type": "application/json"}
        )
        connection.getresponse().read()

    return call


def _library(name: str, port: int) -> Callable[[], None] | None:
    try:
        library: Any = importlib.import_module(name)
    except ImportError:
        return None
    session = library.Session() if name == "requests" else library.Client()
    more = {"data": BODY} if name == "requests" else {"content": BODY}
    headers = {"authorization": "Bearer key", "content-type": "application/json"}

    def call() -> None:
        session.post(f"http://127.0.0.1:{port}/predict", headers=headers, **more).json()

    return call


def _wrk(port: int) -> float:
    """Return the CPU time that a request costs a client in native code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["wrk", "-t1", "-c4", f"-d{WRK_S}", f"http://127.0.0.1:{port}/predict"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    count = int(re.findall(r"(\d+) requests in", said)[0])
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / count


def _hash_python() -> float:
    """Return the CPU time of one try, as `vallum.client` tries."""
    begun_with, bound = sha256(b"c" * 80 + b":" + b"0" * 64 + b":"), 1 << 200
    begun = time.process_time()
    for nonce in range(HASHES):
        tried = begun_with.copy()
        tried.update(b"%d" % nonce)
        if int.from_bytes(tried.digest(), "big") < bound:
            break
    return (time.process_time() - begun) / HASHES


def _hash_native() -> float:
    """Return the CPU time of one hash in native code; 0: there is nothing to measure it with."""
    if not shutil.which("openssl"):
        return 0.0
    command = ["openssl", "speed", "-seconds", "2", "-bytes", "64", "sha256"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    thousands = float(re.findall(r"sha256\s+([\d.]+)k", said)[0])  # bytes in a second of CPU time
    return 64 / (thousands * 1000)


if __name__ == "__main__":
    main()
