"""When a sender captured what an RTP timestamp stands for: the mapping of RTCP sender reports (RFC 3550 §6.4.1). Pure.

Browsers place sound and picture on one clock by it, so lip-sync is measured by it too: by arrival one would measure
buffers.
"""

from typing import Final

_NTP_EPOCH: Final = 2_208_988_800  # Unix time 0 in seconds since 1900


class SenderClock:
    """One track's mapping, after its latest sender report."""

    def __init__(self, rate: int) -> None:
        self._rate = rate  # Hz
        self._report: tuple[int, float] | None = None
        self.reports = 0

    def report(self, rtp_timestamp: int, ntp_timestamp: int) -> None:
        """Take a sender report: 32-bit RTP timestamp, 64-bit NTP time. Zero NTP time means that it has none."""
        if ntp_timestamp:
            self._report = rtp_timestamp, ntp_timestamp / (1 << 32) - _NTP_EPOCH
            self.reports += 1

    def unix(self, rtp_timestamp: int) -> float | None:
        """The sender's wall clock (Unix s) at an RTP timestamp, wrapped or not; None before the first report."""
        if self._report is None:
            return None
        rtp, unix = self._report
        ticks = (rtp_timestamp - rtp + (1 << 31)) % (1 << 32) - (1 << 31)
        return unix + ticks / self._rate
