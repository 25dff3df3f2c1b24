"""Progress lines with the elapsed seconds, for people who wait; on stderr, so that stdout stays for answers."""

import sys
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Prints one line per step; safe to use from several threads."""

    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, message: str) -> None:
        """Print one line."""
        elapsed = time.monotonic() - self.started
        with self._lock:
            sys.stderr.write(f"[{elapsed:6.1f}s] {message}\n")
            sys.stderr.flush()
