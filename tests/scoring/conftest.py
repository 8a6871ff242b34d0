import pytest

from tests.scoring.tiny import make


@pytest.fixture
def bert():
    return make("bert", "masked")
