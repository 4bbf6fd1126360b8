"""The fixtures themselves: each test has its own database, vhost and empty Redis."""

import contextlib

import pika
import redis

from app import config
from app.config import Settings
from app.db import migrate
from app.db.session import Session


def test_the_database_of_a_test_is_migrated(session: Session):
    assert migrate.is_current(session)


def test_a_vhost_takes_a_queue(rabbitmq_url: str):
    with contextlib.closing(
        pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    ) as connection:
        channel = connection.channel()
        assert channel.queue_declare("probe").method.message_count == 0


def test_redis_starts_empty(redis_url: str):
    with contextlib.closing(redis.Redis.from_url(redis_url)) as client:
        assert client.dbsize() == 0


def test_settings_of_a_test_have_every_secret(settings: Settings, database: str):
    assert settings.database_url == database
    assert settings.sealing_keys.get_secret_value()


def test_configured_reaches_code_that_reads_the_settings(configured: Settings, redis_url: str):
    assert config.settings() is configured
    assert config.settings().redis_url == redis_url
