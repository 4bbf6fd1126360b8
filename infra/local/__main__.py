"""`./run COMMAND`: the launcher's commands."""

import sys

from app.errors import ConfigurationInvalid, MailqueueError
from infra.local import commands, inspect, lockfile
from infra.local.supervise import StopAsked
from infra.local.terminal import complain

_INTERRUPTED = 130

COMMANDS = {
    "up": commands.up,
    "test": commands.test,
    "demo": commands.demo,
    "bench": commands.bench,
    "chaos": commands.chaos,
    "services": commands.only_services,
    "mailqueue": inspect.mailqueue,
    "status": inspect.status,
    "logs": inspect.logs,
    "restart": inspect.restart,
    "down": inspect.down,
    "doctor": inspect.doctor,
    "lock": lockfile.lock,
}

USAGE = """\
./run up [--fresh]         services, migrations, sample data and all processes; Ctrl-C stops them
./run test [pytest args]   the tests, on services of their own; beside `up` if you like
./run demo                 a campaign from import to funnel, then its numbers; exits
./run bench [PART ...] [--quick] [--leads N]   the numbers of DESIGN 14 against peers; infra/load/README.md
./run chaos [--minutes N] [--seed S] [--kills K] [--json FILE]   every fault under load, then what was lost or doubled (0)
./run services [command]   only PostgreSQL, RabbitMQ and Redis, as long as the command runs
./run mailqueue ...        the command line, against the stack of `up`
./run restart NAME [STACK] [--kill]   one process of `up` (or another stack), in the middle of it all
./run status | logs NAME [-f] | down | doctor
./run lock [--upgrade]     write requirements.lock from pyproject.toml
"""


def main(words: list[str]) -> int:
    """Run the command that `words` names and return its exit code."""
    if not words or words[0] in {"help", "-h", "--help"}:
        sys.stdout.write(USAGE)
        return 0
    try:
        if words[0] not in COMMANDS:
            raise ConfigurationInvalid(f"{words[0]} is no command.", fix="\n" + USAGE)
        return COMMANDS[words[0]](words[1:])
    except StopAsked:
        return _INTERRUPTED
    except MailqueueError as error:
        complain(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
