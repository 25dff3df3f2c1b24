"""Links that other nodes have opened here, by which they pull. What goes by them are sessions of their own."""


class LinksOut:
    """Who has opened which, as the engine names them. `taken`: whether this node has links at all."""

    def __init__(self, *, taken: bool) -> None:
        self.taken = taken
        self._pullers: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many there are now."""
        return len(self._pullers)

    def add(self, link: str, puller: str) -> None:
        """`puller`, slot/incarnation, has opened it."""
        self._pullers[link] = puller

    def is_of(self, link: str, puller: str) -> bool:
        """Whether it stands, and is that node's."""
        return self._pullers.get(link) == puller

    def closed(self, link: str) -> bool:
        """It has ended. False: it was none."""
        return self._pullers.pop(link, None) is not None
