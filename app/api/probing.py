"""A test of a server, as its tenant may read it: each step up to the first that failed.

A tenant reads our words only: a server's own may be those of somebody else's machine.
"""

from collections.abc import Mapping, Sequence

from app.api.call import Call
from app.api.forms import View
from app.errors import InputInvalid
from app.smtp.probe import ProbeStep

FAILED: Mapping[str, str] = {
    "resolve": "The host has no public address, or it is not allowed here.",
    "connect": "The host does not answer on this port.",
    "tls": "The server offers no TLS, or its certificate does not hold.",
    "auth": "The server did not take the login.",
}


class ProbeStepView(View):
    """One step of a test."""

    name: str
    ok: bool
    ms: float
    text: str


class Probed(View):
    """A test: each step up to the first that failed."""

    ok: bool
    steps: list[ProbeStepView]


def require_port(call: Call, port: int, usual: Sequence[int]) -> None:
    """Refuse ports no such server has, unless the operator opened networks of their own."""
    if port not in usual and not call.settings.smtp_allowed_networks:
        raise InputInvalid(
            f"Port {port} is not allowed here.",
            why=f"Such servers are asked on {', '.join(map(str, usual))} only.",
            field="/port",
        )


def probed(call: Call, steps: Sequence[ProbeStep], failed: Mapping[str, str]) -> Probed:
    """Return the steps of a test; `failed` says in our words what a step's failure means."""
    return Probed(ok=steps[-1].ok, steps=[_view(call, step, failed) for step in steps])


def words_for(step: str, failed: Mapping[str, str]) -> str:
    """Return in our words what the failure of a step means."""
    return failed.get(step, "This step failed.")


def _view(call: Call, step: ProbeStep, failed: Mapping[str, str]) -> ProbeStepView:
    words = "ok" if step.ok else words_for(step.name, failed)
    text = step.text if call.caller.is_operator else words
    return ProbeStepView(name=step.name, ok=step.ok, ms=round(step.ms, 1), text=text)
