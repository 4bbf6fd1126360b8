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

# RabbitMQ has no wheel: it is named as given, so this stack starts the other two.
SCRIPT = """
import json, sys
from pathlib import Path
from infra.local import ports
from infra.local.places import Place
from infra.local.stack import Life, Stack, services
from infra.local.supervise import Supervisor
place = Place(root=Path(sys.argv[1]))
stack = Stack(place=place, ports=ports.throwaway(), life=Life.THROWAWAY)
with Supervisor(place.logs) as supervisor, services(stack, supervisor) as found:
    print(json.dumps(found | {"port": stack.ports["postgres"]}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def wheels_only(tmp_path: Path):
    env = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    env |= {"MAILQUEUE_LOCAL_SOURCES": "wheel", "RABBITMQ_URL": "amqp://given/"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
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
        with redis.Redis.from_url(found["REDIS_URL"]) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert found["RABBITMQ_URL"] == "amqp://given/"
        assert "RABBITMQ_MANAGEMENT_URL" not in found

    assert wheels_only.returncode == 0
    assert not data.exists()
    assert ports.is_free(found["port"])
    assert {path.name for path in tmp_path.iterdir()} == {"logs"}
