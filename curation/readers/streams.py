"""What a member (or a file whose members are one stream) holds, with look-ahead and a way back, in bounded memory."""

import re
from collections.abc import Callable, Iterator

from curation.readers.limits import Limits
from curation.readers.members import CutError, DamagedError, Member, MemberError


class BombError(MemberError):
    """More came out of a member than any honest one holds."""


def reason(error: MemberError, *, known: bool = True) -> str:
    """The ledger's name for what an error did to a record; `known` tells whether the record's head was read."""
    if isinstance(error, BombError):
        return "gzip_bomb"
    if isinstance(error, CutError):
        return "truncated_record"
    return "damaged_record" if known else "unreadable_record"


OpenMember = Callable[[int], Member]
"""Opens the member that begins at a position of the file; raises `MemberError` where none does."""


class Stream:
    """Inflated bytes from the member at `start` on.

    An error of the member does not raise: the stream ends there and `error` tells. Everything inflated before it is
    handed out first.

    Args:
      opener: opens members.
      start: where the first one begins.
      limits: `max_member_bytes` and `max_ratio` bound what comes out; None where nothing was packed.
      joined: members that follow each other are one stream.
    """

    def __init__(self, opener: OpenMember, start: int, limits: Limits | None, *, joined: bool = False) -> None:
        self._open, self._start, self._limits = opener, start, limits
        self.joined = joined
        self._restart()

    def _restart(self) -> None:
        self.error: MemberError | None = None
        self._data = b""
        self._at = 0  # in _data
        self._base = 0  # position of _data[0] in the stream
        self._member: Member | None = None
        self._ended = False
        self._next = self._start

    def join(self) -> None:
        """Makes one stream of this member and those that follow."""
        self.joined = True
        if self._ended and self.error is None:
            try:
                self._ended = not self._follows()
            except MemberError as error:
                self.error = error

    @property
    def position(self) -> int:
        """How many bytes of the stream lie behind."""
        return self._base + self._at

    @property
    def consumed(self) -> int:
        """Where in the file the bytes not yet used begin; where the stream ended once it has."""
        return self._member.consumed if self._member else self._next

    @property
    def member_start(self) -> int:
        """Where the member begins that is being read."""
        return self._member.start if self._member else self._next

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end; they stay."""
        if len(self._data) - self._at < size and not self._ended:
            self._fill(size)
        return self._data[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        parts = [self._data[self._at : self._at + size]]
        self._at += len(parts[0])
        have = len(parts[0])
        while have < size and self._advance():
            parts.append(self._data[: size - have])
            self._at = len(parts[-1])
            have += self._at
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, size: int) -> int:
        """Passes over up to `size` bytes in constant memory; returns how many there were."""
        passed = 0
        while passed < size:
            if self._at == len(self._data) and not self._advance():
                break
            step = min(size - passed, len(self._data) - self._at)
            self._at += step
            passed += step
        return passed

    def pieces(self) -> Iterator[bytes]:
        """All that is left, piece by piece as it was inflated."""
        while self._at < len(self._data) or self._advance():
            piece = self._data[self._at :]
            self._at = len(self._data)
            yield piece

    def seek(self, position: int) -> None:
        """Goes to a position: at once where it is still in memory, else by inflating from `start` again."""
        if position < self._base:
            self._restart()
        self._at = min(self._at, max(0, position - self._base))
        self.skip(position - self.position)

    def find(self, pattern: re.Pattern[bytes], overlap: int, limit: int | None = None) -> int:
        """Goes to the pattern's first match that starts before position `limit`; constant memory.

        Args:
          pattern: anchored by bytes, not by `^`, which would match at any piece's start.
          overlap: longest match, kept from one piece to the next.
          limit: where to give up; None for the stream's end.

        Returns:
          The match's position, where the stream then stands; -1 (the stream at its end or at `limit`) where none is.
        """
        while True:
            more = len(self._data) - self._at > overlap or self._lengthen()
            match = pattern.search(self._data, self._at)
            if match and (limit is None or self._base + match.start() < limit):
                self._at = match.start()
                return self.position
            if limit is not None and self._base + len(self._data) - overlap >= limit:
                self._at = max(self._at, min(len(self._data), limit - self._base))
                return -1
            if not more:
                self._at = len(self._data)
                return -1
            self._at = max(self._at, len(self._data) - overlap)

    def _lengthen(self) -> bool:
        """Appends one more piece to what lies ahead; False at the end."""
        ahead, before = self._data[self._at :], self.position
        self._at = len(self._data)
        grew = self._advance()
        if grew:
            self._data = ahead + self._data
        else:
            self._data = ahead
        self._base, self._at = before, 0
        return grew

    def _fill(self, size: int) -> None:
        parts = [self._data[self._at :]]
        before, have = self.position, len(parts[0])
        while have < size and self._advance():
            parts.append(self._data)
            have += len(self._data)
        self._data = b"".join(parts)
        self._base, self._at = before, 0

    def _advance(self) -> bool:
        """Replaces `_data` by the next piece; False at the end, `_data` then empty."""
        self._base += len(self._data)
        self._data, self._at = b"", 0
        while not self._ended:
            try:
                piece = self._read()
            except MemberError as error:
                self.error, self._ended = error, True
                return False
            if piece:
                self._data = piece
                return True
        return False

    def _read(self) -> bytes:
        if self._member is None:
            self._member = self._open(self._next)
        piece = self._member.read()
        if piece:
            self._check(self._member, len(piece))
        else:
            self._next, self._member = self._member.end, None
            self._ended = not self.joined or not self._follows()
        return piece

    def _follows(self) -> bool:
        """Whether another member begins where the last one ended."""
        try:
            self._member = self._open(self._next)
        except DamagedError:
            return False
        return True

    def _check(self, member: Member, size: int) -> None:
        if self._limits is None:
            return
        inflated = self._base + size
        allowed = self._limits.max_member_bytes
        if self.joined:
            allowed += self._limits.max_ratio * (member.consumed - self._start)
        if inflated > allowed:
            raise BombError(f"the member at {member.start} inflates to more than {allowed} bytes", None)
