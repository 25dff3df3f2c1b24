"""The table in docs/interop.md, out of what the tests of this folder have seen: `make interop` runs them and writes it.

Run as a program, it reads the rows that the tests left and prints the page.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ROWS_VARIABLE: Final = "RIVULET_INTEROP_ROWS"  # the file that rows go to; unset: nowhere
HEAD: Final = """# Clients and servers that work with Rivulet

Written by `make interop`, which runs every client below as it is, unchanged, against a CDN of real processes on this
machine: a director, an origin and an edge. What *serves* is a WHEP server that an origin pulls (`source.pull`). A row
is a test that passed: picture and sound were decoded at the other side. *Connected* is from the answer's arrival to ICE
and DTLS being through, as the client itself says it, beside whatever else the machine did; it is no benchmark.

"""
COLUMNS: Final = ("Client", "Does", "Codecs", "Certificate", "Connected, ms", "Seen", "Remarks")


@dataclass(frozen=True)
class Row:
    """One client doing one thing, with success."""

    client: str
    does: str
    codecs: str
    certificate: str
    connected_ms: float | None
    seen: str
    remarks: str = ""


def note(row: Row) -> None:
    """Keep a row for the table, where one is being made."""
    if path := os.environ.get(ROWS_VARIABLE):
        with Path(path).open("a") as rows:
            rows.write(json.dumps(asdict(row)) + "\n")


def page(rows: list[Row]) -> str:
    """The whole page."""
    lines = [" | ".join(COLUMNS), "---".join("|" * (len(COLUMNS) + 1))]
    for row in sorted(rows, key=lambda row: (row.client, row.does, row.codecs)):
        connected = "" if row.connected_ms is None else f"{row.connected_ms:.0f}"
        cells = (row.client, row.does, row.codecs, row.certificate, connected, row.seen, row.remarks)
        lines.append(" | ".join(cells))
    table = [f"| {line} |" if not line.startswith("|") else line for line in lines]
    return HEAD + "\n".join(table) + "\n"


if __name__ == "__main__":
    print(page([Row(**json.loads(line)) for line in Path(sys.argv[1]).read_text().splitlines()]), end="")
