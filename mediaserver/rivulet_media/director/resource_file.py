"""Resources from a YAML file of many documents, read again when it changes: a region without Kubernetes."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from rivulet_media.director.resources import Parsed, parse_documents

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class FileError(Exception):
    """The file cannot be read, or is no YAML."""


def read_documents(path: Path) -> list[dict[str, Any]]:
    """All objects of the file. FileError."""
    try:
        documents = list(yaml.safe_load_all(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FileError(f"{path}: {error}") from error
    # YAML has dates, JSON (and so the API) has not.
    return [json.loads(json.dumps(item, default=str)) for item in documents if isinstance(item, dict)]


async def follow(path: Path, use: Callable[[Parsed], None]) -> None:
    """Read the file now and at every change; one that cannot be read leaves things as they are."""
    seen: tuple[int, int] | None = None
    while True:
        stamp = _stamp(path)
        if stamp != seen:
            seen = stamp
            try:
                use(parse_documents(read_documents(path), fresh=True))
            except FileError as error:
                log.warning("resources stay as they are: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size)
