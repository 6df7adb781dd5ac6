"""The load: wrk with a fixed number of connections, told to report in JSON."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from process import HOST, BenchError
from traffic import PATH, prompt_bodies

CONNECTIONS = 32
GRACE_S = 20.0
TICK_S = 1.0
MARK = "BENCH "
SCRIPT = """\
local bodies = {
%(bodies)s
}
local requests, at = {}, 0

function init(args)
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer %(key)s"}
  headers["Host"] = wrk.headers["Host"]
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "%(path)s", headers, body) end
end

function request()
  at = at %% #requests + 1
  return requests[at]
end

function done(summary, latency, per_thread)
  local e = summary.errors
  io.write(string.format(
    '%(mark)s{"requests":%%d,"refused":%%d,"broken":%%d,"p50_us":%%d,"p99_us":%%d}\\n',
    summary.requests, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: `refused` counts answers of status 400 and above, `broken` connection errors and timeouts."""

    requests: int
    refused: int
    broken: int
    p50_us: int
    p99_us: int


def write_script(file: Path, key: str) -> Path:
    """Write the Lua script of the load."""
    bodies = ",\n".join(f"[==[{body}]==]" for body in prompt_bodies())
    file.write_text(SCRIPT % {"bodies": bodies, "key": key, "path": PATH, "mark": MARK}, encoding="utf-8")
    return file


def press(wrk: str, script: Path, port: int, seconds: int, tick: Callable[[float], None]) -> Load:
    """Load a port for some seconds; any answer that is not a success is an error."""
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), f"http://{HOST}:{port}"]
    report = _finish(command, time.monotonic() + seconds + GRACE_S, tick)
    lines = [line.removeprefix(MARK) for line in report.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise BenchError(f"wrk gave no result:\n{report}")
    load = Load(**json.loads(lines[0]))
    if load.refused or load.broken or not load.requests:
        seen = f"{load.requests} answers, {load.refused} of them not a success, {load.broken} connection errors"
        raise BenchError(f"under load: {seen}")
    return load


def _finish(command: list[str], deadline: float, tick: Callable[[float], None]) -> str:
    """Run a command to its end, or end it at the deadline."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while time.monotonic() < deadline:
            try:
                return process.communicate(timeout=TICK_S)[0]
            except subprocess.TimeoutExpired:
                tick(TICK_S)
        raise BenchError("wrk did not end in time")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
