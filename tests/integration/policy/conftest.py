import pytest

from tests.integration.policy.house import Ruled, open_ruled


@pytest.fixture
async def ruled(tmp_path):
    async with open_ruled(tmp_path) as found:
        yield found


__all__ = ["Ruled"]
