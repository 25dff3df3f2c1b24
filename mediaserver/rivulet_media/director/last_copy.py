"""The last copy of the resources, for a director that starts while the API is down."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rivulet_media.director.resources import Document

log = logging.getLogger(__name__)

FILE_NAME = "resources.json"


class LastCopy:
    """A file in the state directory, replaced as a whole. Without a directory nothing is kept."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / FILE_NAME
        self._written: str | None = None

    def read(self) -> list[dict[str, Any]]:
        """The documents of the last copy; none when there is none or it cannot be read."""
        if self._path is None:
            return []
        try:
            documents = json.loads(self._path.read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            log.warning("the last copy of the resources cannot be read: %s", error, extra={"path": str(self._path)})
            return []
        return [item for item in documents if isinstance(item, dict)] if isinstance(documents, list) else []

    def write(self, documents: Sequence[Document]) -> None:
        """Replace the copy. Tokens are in it, so nobody else may read it."""
        text = json.dumps(documents, sort_keys=True)
        if self._path is None or text == self._written:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(text)
            temporary.replace(self._path)
            self._written = text
        except OSError as error:
            log.warning("the resources cannot be kept: %s", error, extra={"path": str(self._path)})
