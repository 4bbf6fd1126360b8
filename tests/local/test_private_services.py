"""Private services from the lock file's wheels alone, as on a machine with nothing installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from infra.local import ports
from infra.local.places import ROOT
from infra.local.stack import Life

# RabbitMQ has no wheel: it is named as given, so this stack starts the other two.
SCRIPT = """
import json, sys
from pathlib import Path
from infra.local import ports
from infra.local.places import Place
from infra.local.stack import Life, Stack, services
from infra.local.supervise import Supervisor
place = Place(root=Path(sys.argv[1]))
stack = Stack(place=place, ports=ports.throwaway(), life=Life(sys.argv[2]))
with Supervisor(place.logs) as supervisor, services(stack, supervisor) as found:
    print(json.dumps(found | {"port": stack.ports["postgres"]}), flush=True)
    sys.stdin.read()
"""


NEIGHBOURS = "SELECT count(*) FROM pg_hba_file_rules WHERE address = 'samenet'"


@pytest.fixture
def wheels_only(tmp_path: Path):
    return started(tmp_path, Life.THROWAWAY)


def started(folder: Path, life: Life) -> subprocess.Popen[str]:
    """A stack of PostgreSQL and Redis: its first line names them, and it lives as long as its stdin."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    env |= {"MAILQUEUE_LOCAL_SOURCES": "wheel", "RABBITMQ_URL": "amqp://given/"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), life],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_wheels_bring_postgresql_and_redis_and_leave_nothing(wheels_only, tmp_path: Path) -> None:
    with wheels_only:
        found = json.loads(wheels_only.stdout.readline())
        data = next(tmp_path.glob("postgres-*")).resolve()
        with psycopg.connect(found["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("mailqueue",)
            assert connection.execute("SHOW max_connections").fetchone() == ("200",)
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
            assert connection.execute(NEIGHBOURS).fetchone() == (0,)
        with redis.Redis.from_url(found["REDIS_URL"]) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("protected-mode") == {"protected-mode": "yes"}
        assert found["RABBITMQ_URL"] == "amqp://given/"
        assert "RABBITMQ_MANAGEMENT_URL" not in found

    assert wheels_only.returncode == 0
    assert not data.exists()
    assert ports.is_free(found["port"])
    assert {path.name for path in tmp_path.iterdir()} == {"logs"}


def test_services_of_the_benchmark_admit_its_hosts_and_listen_on_loopback_alone(tmp_path: Path):
    with started(tmp_path, Life.MEASURED) as process:
        found = json.loads(process.stdout.readline())
        with psycopg.connect(found["DATABASE_URL"]) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
            assert connection.execute(NEIGHBOURS).fetchone() == (1,)
        with redis.Redis.from_url(found["REDIS_URL"]) as client:
            assert client.config_get("protected-mode") == {"protected-mode": "no"}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
    assert process.returncode == 0
