from collections.abc import Iterator
from pathlib import Path

import pytest

from director.scene import PlayedRegions


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[PlayedRegions]:
    """No director yet; whatever a test starts is stopped."""
    playing = PlayedRegions(tmp_path, {"eu": ["test_eu", "second_eu"], "us": ["test_us"]})
    yield playing
    playing.close()
