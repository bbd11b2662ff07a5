from collections.abc import Iterator

import pytest

from tools.testing.kafka_broker import Broker, running


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with running() as server:
        yield server
