import pytest

from tests.support.rest import open_rest


@pytest.fixture
async def rest(tmp_path):
    async with open_rest(tmp_path) as world:
        yield world
