"""Load over HTTP by wrk: full speed, or a steady share of it. Its CPU is nobody's; one core is its.

wrk runs a Lua script of ours that walks through a list of targets, waits between two requests of
a connection when a rate is asked for, and prints its result as JSON.
"""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import DependencyUnavailable, LedgerOff
from infra.local import programs

_SCRIPT = """\
local targets = {}
for line in io.lines("%(targets)s") do targets[#targets + 1] = line end
local number = 0
%(setup)s
request = function()
  number = number %% #targets + 1
  return wrk.format(nil, targets[number])
end
%(pause)s
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %%d, "us": %%d, "p50_us": %%d, "p99_us": %%d, "bad": %%d, "broken": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status,
    e.connect + e.read + e.write + e.timeout))
end
"""
_PAUSE = "delay = function() return math.random(0, %d) end\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked of a server: paths in turn, over so many connections, for so long.

    `per_s` None means as fast as it answers. With a `body` the requests are POSTs of it.
    """

    port: int
    paths: tuple[str, ...]
    connections: int = 32
    seconds: int = 5
    per_s: float | None = None
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back: complete answers, how long they took, and how many were wrong."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    connections: int

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


def is_there() -> bool:
    """Tell whether wrk can be had."""
    return programs.find("wrk") is not None


def drive(load: Load, folder: Path) -> Answered:
    """Put `load` on the server; raises LedgerOff when any answer was an error or missing."""
    program = programs.find("wrk")
    if program is None:
        raise DependencyUnavailable(
            "wrk is not to be had, so no load can be made.",
            fix="Install it (Debian: apt install wrk).",
        )
    script = folder / "load.lua"
    script.write_text(_lua(load, folder))
    words = ("-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "20s")
    command = program.command(*words, "-s", script, f"http://127.0.0.1:{load.port}")
    done = subprocess.run(
        command, env=program.environment, capture_output=True, text=True, check=False
    )
    return _read(done.stdout, load)


def _read(output: str, load: Load) -> Answered:
    line = next((line for line in output.splitlines() if line.startswith("{")), None)
    if line is None:
        raise DependencyUnavailable("wrk ended without a result.", why=output[-500:])
    found = json.loads(line)
    if found["bad"] or found["broken"] or not found["requests"]:
        raise LedgerOff("No rate: not every request was answered well.", why=f"{line}.")
    return Answered(
        requests=found["requests"],
        seconds=found["us"] / 1e6,
        p50_ms=found["p50_us"] / 1000,
        p99_ms=found["p99_us"] / 1000,
        connections=load.connections,
    )


def _lua(load: Load, folder: Path) -> str:
    targets = folder / "load-targets.txt"
    targets.write_text("\n".join(load.paths) + "\n")
    setup = [f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in load.headers.items()]
    if load.body:
        setup += ['wrk.method = "POST"', f"wrk.body = [==[{load.body}]==]"]
    pause = ""
    if load.per_s:
        # A connection waits 0..2w ms, w on average: c connections make c / w requests per ms.
        pause = _PAUSE % max(1, round(2 * load.connections * 1000 / load.per_s))
    return _SCRIPT % {"targets": targets, "setup": "\n".join(setup), "pause": pause}
