import pytest

from tests.integration.policy.house import Ruled, open_ruled
from tests.integration.runner.conftest import far as far


@pytest.fixture
async def ruled(tmp_path):
    async with open_ruled(tmp_path) as found:
        yield found


__all__ = ["Ruled"]
