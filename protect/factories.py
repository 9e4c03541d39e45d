"""What a pipeline file names: factories that read the options, load the policy and put the parts together."""

from __future__ import annotations

import configparser
import gc
import json
import logging
import os
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protect.enforcement import Entry, Mode, Outcome, Protect
from protect.errors import ConfigError
from protect.identity import bearer, keystone
from protect.loading import Protection
from protect.reload import Reloader
from protect.settings import DecisionLog, JwtSettings, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from protect.identity.keyring import Keyring
    from protect.values import Subject

    Identify = Callable[[WSGIEnvironment], Subject]

Clock = Callable[[], datetime]

decisions = logging.getLogger("protect.decisions")

#: What each kind of decision log takes.
LOGGED: Final[Mapping[DecisionLog, AbstractSet[Outcome]]] = {
    DecisionLog.ALL: frozenset(Outcome),
    DecisionLog.DENIED: frozenset(Outcome) - {Outcome.ALLOWED},
    DecisionLog.NONE: frozenset(),
}


def filter_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[[WSGIApplication], WSGIApplication]:
    """``paste.filter_factory``: loads the policy now, so that a bad one stops the service at start.

    Raises ConfigError for a bad option and PolicyError, with every problem, for a bad policy.
    """
    settings = Settings.from_paste(global_conf, local_conf)
    protection = Protection(settings.protection_format, settings.policy_rules)
    reloader = Reloader(settings.policy, settings.reload, protection=protection)
    reloader.start()
    # The graphs live as long as the process: the collector need not walk over them with every request's garbage.
    gc.collect()
    gc.freeze()
    identify = keystone.identify if settings.jwt is None else by_token(settings.jwt)

    def wrap(app: WSGIApplication) -> WSGIApplication:
        protected = Protect(
            app,
            policy=lambda: reloader.policy,
            identify=identify,
            mode=settings.mode,
            image_size_cap=settings.image_size_cap,
            log=decision_sink(),
            logged=LOGGED[settings.decision_log],
            log_facts=settings.decision_log_facts,
        )
        # In shadow mode nothing is changed: no answer, and nothing that the API behind us gets.
        watching = settings.mode is Mode.SHADOW
        return protected if settings.jwt is None or watching else bearer.Challenge(protected)

    return wrap


def keyring(settings: JwtSettings) -> Keyring:
    """Return the issuer's keys, and follow them from now on. Loads them now: raises ConfigError."""
    # Cryptography is loaded for those who use it: elsewhere it is memory, and no reason to fail.
    from protect.identity.fetching import loader
    from protect.identity.keyring import Keyring

    keys = Keyring(loader(settings.jwks), settings.jwks)
    keys.start()
    return keys


def by_token(settings: JwtSettings, keys: Keyring | None = None) -> Identify:
    """Return what finds the subject in a bearer token. Without ``keys`` it loads them now: raises ConfigError."""
    from protect.identity.claims import subject_of
    from protect.identity.jwt import Tokens

    tokens = Tokens(
        keyring(settings) if keys is None else keys,
        issuer=settings.issuer,
        audience=settings.audience,
        algorithms=settings.algorithms,
        leeway=settings.leeway,
        read=lambda claims: subject_of(claims, settings.claims),
    )
    return bearer.identify(tokens.verify)


def decision_sink(clock: Clock = lambda: datetime.now(UTC)) -> Callable[[Entry], None]:
    """Return what writes a decision as one line of JSON to the logger ``protect.decisions``.

    Whatever is not allowed is a warning, so that it is seen under the default configuration of ``logging``.
    """

    def write(entry: Entry) -> None:
        level = logging.INFO if entry.outcome is Outcome.ALLOWED else logging.WARNING
        if decisions.isEnabledFor(level):
            line = {"time": clock().isoformat(), **asdict(entry)}
            if entry.facts is None:
                del line["facts"]
            decisions.log(level, "%s", json.dumps(line))

    return write


def decision_factory(global_conf: Mapping[str, str], **local_conf: str) -> WSGIApplication:
    """``paste.app_factory``: the decision endpoint. Loads the policy now, so that a bad one stops the service at start.

    Raises ConfigError for a bad option and PolicyError, with every problem, for a bad policy.
    """
    # What only the endpoint needs is not loaded into the process of an API that has the filter.
    from protect.service.assembly import sidecar
    from protect.service.settings import DecisionSettings

    return sidecar(DecisionSettings.from_paste(global_conf, local_conf, os.environ))


def application(ini: str) -> WSGIApplication:
    """Return the application of a pipeline file; raises ConfigError, and PolicyError with every problem."""
    from paste.deploy import loadapp

    try:
        app: WSGIApplication = loadapp(f"config:{Path(ini).absolute()}")
    except (LookupError, OSError, configparser.Error, ImportError) as error:
        raise ConfigError(f"`{ini}` cannot be loaded: {error}") from None
    return app


def section(ini: str, name: str) -> dict[str, str]:
    """Return a section of a pipeline file, empty where there is none; raises ConfigError."""
    from paste.deploy.loadwsgi import ConfigLoader

    path = Path(ini).absolute()
    try:
        loader = ConfigLoader(str(path))
        loader.update_defaults({"here": str(path.parent), "__file__": str(path)})
        if not loader.parser.has_section(name):
            return {}
        return {key: loader.parser.get(name, key) for key in loader.parser._sections[name]}
    except (OSError, configparser.Error) as error:
        raise ConfigError(f"`{ini}` cannot be read: {error}") from None
