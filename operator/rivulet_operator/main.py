"""rivulet-operator: puts the parts together and runs them until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from rivulet_operator import api, settings
from rivulet_operator.errors import LeaseLost, Misconfigured, Refused
from rivulet_operator.run import run

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Lines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, source and message; a traceback if there is one."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "source": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(max(logging.getLevelName(level), logging.WARNING))
    # The kubelet asks every few seconds whether the operator is well.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    # Every watch would complain every second about an API server that is away; the lease says so once for all.
    logging.getLogger("kopf._cogs.clients.watching").setLevel(logging.CRITICAL)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; everything is set by the environment (docs/contract.md §10)."""
    if arguments if arguments is not None else sys.argv[1:]:
        sys.stderr.write("rivulet-operator takes no arguments: it is set by the environment (RIVULET_REGION, …)\n")
        return 2
    try:
        chosen = settings.from_environment(os.environ, api.pod_namespace())
        _log_to_stderr(chosen.log_level)
        asyncio.run(run(chosen))
    except Misconfigured as error:
        sys.stderr.write(f"rivulet-operator: {error}\n")
        return 2
    except (LeaseLost, Refused) as error:
        sys.stderr.write(f"rivulet-operator: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
