"""Keeps the entities up to date with their file, as a policy is: read aside, and swapped in one assignment."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from protect.authzen.entities import Entities, read_entities
from protect.errors import PolicyError, Problem
from protect.reload import SETTLE, Clock
from protect.watching import Trouble, Watch

log = logging.getLogger("protect.service")


class EntitiesFile:
    """Holds the entities in force; ``entities`` is read once per request.

    A change counts once two looks in a row have seen it alike. A file that cannot be read leaves the last good entities
    in force; ``trouble`` says so until a good one comes.
    """

    def __init__(self, path: str, seconds: float = 0, *, timer: Clock = time.time) -> None:
        """Read the file now: raises PolicyError. ``seconds`` between looks at it; 0 looks again only when told to."""
        self._path = path
        self._seconds = seconds
        self._timer = timer
        self._watch = Watch(self.look, self._pause, "protect-entities")
        self._good = self._seen = self._read()
        self._settled = True
        self.entities: Entities = read_entities(path, self._good)
        self.trouble: Trouble | None = None

    def start(self) -> None:
        """Start looking."""
        self._watch.start()

    def stop(self) -> None:
        """Stop looking."""
        self._watch.stop()

    def look(self) -> bool:
        """Look at the file once; return whether other entities are in force now. Never raises."""
        with self._watch.looking:
            before = self.entities
            try:
                self._look()
            except PolicyError as error:
                self._failed(str(error))
            except Exception as error:
                log.exception("looking at the entities failed")
                self._settled = False  # nothing is wrong with the file: try it again at the next look
                self._failed(f"internal error: {type(error).__name__}")
            return self.entities is not before

    def _look(self) -> None:
        data = self._read()
        if data != self._seen:
            self._seen, self._settled = data, False
            return
        if data == self._good:
            self._settled, self.trouble = True, None
            return
        if self._settled:
            return
        self._settled = True
        self.entities = read_entities(self._path, data)
        self._good = data
        self.trouble = None
        log.info("entities of revision %s are in force", self.entities.revision)

    def _read(self) -> bytes:
        try:
            return Path(self._path).read_bytes()
        except OSError as error:
            help_ = "correct `entities`, or give the service's user access"
            raise PolicyError([Problem(self._path, 0, 0, f"cannot be read: {error.strerror}", help_)]) from None

    def _failed(self, message: str) -> None:
        if self.trouble is not None and self.trouble.message == message:
            return
        self.trouble = Trouble(message, self._timer())
        log.error("the entities cannot be used, revision %s stays in force:\n%s", self.entities.revision, message)

    def _pause(self) -> float | None:
        """Return the seconds until the next look, None for none."""
        if self._settled:
            return self._seconds or None
        return min(self._seconds, SETTLE) if self._seconds else SETTLE
