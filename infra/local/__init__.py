"""The whole system on one machine, without Docker: `./run up`, `./run test`, `./run demo`.

Real PostgreSQL, RabbitMQ and Redis as private instances on 127.0.0.1, never the system's own
services. Needs the standard library only: it runs before anything is installed.
"""
