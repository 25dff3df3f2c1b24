"""A moment in time as black and white blocks in a picture: 48 bits of milliseconds and a 16-bit checksum.

The blocks fill the picture's top: two rows of 32, each block 1/32 of the width and 1/18 of the height. Places are
fractions, so a stamp survives scaling; blocks are big and plain, so it survives a hard-pressed encoder. A picture
without a readable stamp gives None, never a wrong time: the checksum's start value is not 0, so plain black is none.
"""

from binascii import crc_hqx
from typing import Final

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]  # (height, width)

COLUMNS: Final = 32
ROWS: Final = 2
ROW_HEIGHT: Final = 1 / 18  # of the picture's height
_BYTES: Final = 6
_CHECKSUM_START: Final = 0x52_49  # "RI"
_WHITE: Final = 235  # luma of limited range, ITU-R BT.601
_BLACK: Final = 16
_MIDDLE: Final = 126


def draw_stamp(luma: Luma, milliseconds: int) -> None:
    """Write `milliseconds` (since 1970, < 2^48) into the top of the picture."""
    height, width = luma.shape
    xs, ys = _edges(width, height)
    for index, bit in enumerate(_bits(milliseconds)):
        row, column = divmod(index, COLUMNS)
        luma[ys[row] : ys[row + 1], xs[column] : xs[column + 1]] = _WHITE if bit else _BLACK


def read_stamp(luma: Luma) -> int | None:
    """The milliseconds in the picture, or None when its stamp is absent or damaged."""
    height, width = luma.shape
    if width < COLUMNS or height * ROW_HEIGHT < 1:
        return None
    xs, ys = _edges(width, height)
    bits = [
        _centre(luma, xs[column], xs[column + 1], ys[row], ys[row + 1]) > _MIDDLE
        for row in range(ROWS)
        for column in range(COLUMNS)
    ]
    data = np.packbits(np.array(bits, dtype=np.uint8)).tobytes()
    milliseconds, checksum = data[:_BYTES], int.from_bytes(data[_BYTES:], "big")
    return int.from_bytes(milliseconds, "big") if crc_hqx(milliseconds, _CHECKSUM_START) == checksum else None


def _bits(milliseconds: int) -> npt.NDArray[np.uint8]:
    data = milliseconds.to_bytes(_BYTES, "big")
    return np.unpackbits(np.frombuffer(data + crc_hqx(data, _CHECKSUM_START).to_bytes(2, "big"), dtype=np.uint8))


def _edges(width: int, height: int) -> tuple[list[int], list[int]]:
    xs = [round(column * width / COLUMNS) for column in range(COLUMNS + 1)]
    ys = [round(row * height * ROW_HEIGHT) for row in range(ROWS + 1)]
    return xs, ys


def _centre(luma: Luma, left: int, right: int, top: int, bottom: int) -> float:
    """Mean of a block's middle: its edges are blurred by scaling and by neighbours."""
    dx, dy = (right - left) // 4, (bottom - top) // 4
    return float(luma[top + dy : bottom - dy, left + dx : right - dx].mean())
