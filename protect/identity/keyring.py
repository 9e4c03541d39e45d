"""The keys in force: fetched at start, again and again, and once more for a key that nobody has heard of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from protect.errors import ConfigError
from protect.identity.keys import NO_KEYS, KeySet, read_keys
from protect.watching import Trouble, Watch

log = logging.getLogger("protect.identity")

REFRESH = 300.0  # seconds
PAUSE = 10.0
MAX_AGE = 24 * 3600.0

_PATIENCE = 1.0


class Keyring:
    """Holds the keys of an issuer.

    A thread of its own fetches them every ``refresh`` seconds. A token that names a key which is not among them has
    them fetched at once, but never within ``pause`` seconds of the last time: tokens with made-up keys cost the issuer
    nothing. Where fetching fails, the last good keys stay in force until they are ``max_age`` seconds old; ``trouble``
    says why. Keys that the issuer has withdrawn are gone after ``refresh`` seconds, if it can be reached.
    """

    def __init__(
        self,
        load: Callable[[], bytes],
        origin: str,
        *,
        refresh: float = REFRESH,
        pause: float = PAUSE,
        max_age: float = MAX_AGE,
        timer: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Load now: raises ConfigError. ``origin`` is the file or URL, for messages. ``clock`` is the wall clock."""
        self._load = load
        self._origin = origin
        self._pause = pause
        self._max_age = max_age
        self._timer = timer
        self._clock = clock
        self._watch = Watch(self.refresh, lambda: refresh, "protect-keys")
        self._trouble: Trouble | None = None
        self._keys = read_keys(load(), origin)
        self._good = self._tried = timer()
        if not self._keys.keys:
            raise ConfigError(f"`jwks = {origin}` has no key that can check a signature")

    @property
    def current(self) -> KeySet:
        """The keys in force: the same object as long as they are the same keys; none once they are too old."""
        return self._keys if self._timer() - self._good <= self._max_age else NO_KEYS

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with renewing the keys; it is fatal once no key is in force."""
        trouble = self._trouble
        if self.current.keys:
            return trouble
        if trouble is None:
            return Trouble(f"`jwks = {self._origin}` was not fetched for too long", self._clock(), fatal=True)
        return Trouble(trouble.message, trouble.since, fatal=True)

    def knowing(self, kid: str | None) -> KeySet:
        """Return the keys in force, after another look where none of them is called ``kid``."""
        if kid is None or self._keys.knows(kid) or self._timer() - self._tried < self._pause:
            return self.current
        # Whoever comes while another one looks waits for what that one finds, but not for long.
        if self._watch.looking.acquire(timeout=_PATIENCE):
            try:
                if self._timer() - self._tried >= self._pause:
                    self._look()
            finally:
                self._watch.looking.release()
        return self.current

    def refresh(self) -> None:
        """Fetch the keys once. Never raises: what is wrong is logged, and the last good keys stay."""
        with self._watch.looking:
            self._look()

    def start(self) -> None:
        """Start fetching now and then. That goes on in the children of a server that forks."""
        self._watch.start()

    def stop(self) -> None:
        """Stop fetching."""
        self._watch.stop()

    def _look(self) -> None:
        try:
            keys = read_keys(self._load(), self._origin)
        except ConfigError as error:
            self._failed(str(error))
        except Exception as error:
            log.exception("fetching the keys of `%s` failed", self._origin)
            self._failed(f"internal error: {type(error).__name__}")
        else:
            self._take(keys)
        finally:
            self._tried = self._timer()

    def _take(self, keys: KeySet) -> None:
        if keys != self._keys:
            # Nothing is remembered of tokens that were checked with another set: see `Tokens`.
            self._keys = keys
            log.info("`%s` has other keys now: %d of them", self._origin, len(keys.keys))
        self._good = self._timer()
        if keys.keys:
            self._trouble = None
        else:
            # A well-formed answer without keys is an answer: its issuer has withdrawn them all.
            self._failed(f"`jwks = {self._origin}` has no key that can check a signature")

    def _failed(self, message: str) -> None:
        if self._trouble is None or self._trouble.message != message:
            self._trouble = Trouble(message, self._clock())
            log.error("the keys that check tokens could not be renewed: %s", message)
