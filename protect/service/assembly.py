"""Puts the decision endpoint together from its options: the policy, who may ask, what is remembered, and the routes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from protect import factories
from protect.authzen.entities import NO_ENTITIES, Entities
from protect.glance.documents import StoredImage
from protect.identity import guards, keystone
from protect.loading import Protection
from protect.policy.policy import Policy
from protect.reload import Reloader
from protect.service import authzen, explain, gateways, images, openapi, oslo
from protect.service import health as health_endpoints
from protect.service import metrics as metrics_endpoints
from protect.service.app import Guard, Service
from protect.service.calls import Route
from protect.service.entities import EntitiesFile
from protect.service.log_file import LogFile
from protect.service.recording import Recorder
from protect.service.settings import Authentication, DecisionSettings, Identity, MetricsAccess
from protect.values import Subject
from protect.watching import Trouble

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from protect.identity.keyring import Keyring

_HEADERS = {"AUTHORIZATION": guards.Header.AUTHORIZATION, "X_PROTECT_TOKEN": guards.Header.PROTECT_TOKEN}

#: What is wrong with something, None where all is well.
Look = Callable[[], Trouble | None]

_alive: weakref.WeakSet[Sidecar] = weakref.WeakSet()


@dataclass(frozen=True, eq=False)
class Sidecar:
    """The decision endpoint as a WSGI application, with its parts."""

    settings: DecisionSettings
    service: Service
    reloader: Reloader
    recorder: Recorder
    guard: guards.Guard

    def believe_listener(self) -> None:
        """Take it from whoever listens for us that it lets nobody in without a client certificate."""
        if isinstance(self.guard, guards.Tls):
            self.guard.listener_verifies = True

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.service(environ, start_response)


def sidecars() -> list[Sidecar]:
    """Return every decision endpoint of this process: one stands somewhere inside a pipeline's application."""
    return list(_alive)


@dataclass(slots=True)
class _Group:
    """Endpoints and their part of the interface's description."""

    routes: list[Route]
    description: openapi.Paths
    watched: dict[str, Look] = field(default_factory=dict)


def sidecar(settings: DecisionSettings) -> Sidecar:
    """Load the policy and return the endpoint; raises ConfigError, and PolicyError with every problem."""
    keys = None if settings.jwt is None else factories.keyring(settings.jwt)
    guard, watched = _guard(settings, keys)
    if keys is not None:
        watched[health_endpoints.KEYS] = lambda: keys.trouble
    lines = LogFile(settings.decision_log_file)
    protection = Protection(settings.protection_format, settings.policy_rules)
    reloader = Reloader(settings.policy, settings.reload, protection=protection)
    metrics = metrics_endpoints.Metrics(reloader, directory=metrics_endpoints.directory())
    recorder = Recorder(
        settings.decision_log, lines, metrics.add, facts=settings.decision_log_facts, actions=metrics.actions
    )
    groups = list(_decisions(settings, reloader, recorder, keys))
    for group in groups:
        watched.update(group.watched)
    health = health_endpoints.Health(reloader, settings.max_age, watched)
    guarded = settings.metrics is MetricsAccess.GUARDED
    groups += [
        _Group(health_endpoints.routes(health=health), health_endpoints.OPENAPI),
        _Group(
            metrics_endpoints.routes(metrics=metrics, publish=recorder.publish, guarded=guarded),
            metrics_endpoints.description(guarded=guarded),
        ),
    ]
    description = openapi.document(
        [*(group.description for group in groups), openapi.OPENAPI],
        version=version("protect"),
        url=settings.public_url,
        guarded=settings.authentication is not Authentication.OFF,
    )
    routes = [route for group in groups for route in group.routes] + openapi.routes(description=description)
    service = Service(routes, guard=_named(guard), limits=settings.limits, observe=recorder.observe)
    made = Sidecar(settings, service, reloader, recorder, guard)
    # Nothing can fail any more: what has a thread is started last.
    reloader.start(on_demand=True)
    recorder.start()
    _alive.add(made)
    return made


def _decisions(
    settings: DecisionSettings, reloader: Reloader, recorder: Recorder, keys: Keyring | None
) -> Iterable[_Group]:
    """Yield the groups of endpoints that decide."""

    def policy() -> Policy:
        return reloader.policy

    entities, watched = _entities(settings)
    yield _Group(
        authzen.routes(policy=policy, record=recorder, entities=entities, public_url=settings.public_url),
        authzen.OPENAPI,
        watched,
    )
    yield _Group(explain.routes(policy=policy, record=recorder, entities=entities), explain.OPENAPI)
    yield _Group(
        images.routes(policy=policy, record=recorder, subjects=lambda: entities().subjects),
        images.OPENAPI,
    )
    yield _Group(oslo.routes(policy=policy, record=recorder, entities=entities), oslo.OPENAPI)
    yield _Group(
        gateways.routes(
            policy=policy,
            record=recorder,
            identify=_users(settings, keys),
            gateway=settings.gateway,
            upstream=_upstream(settings),
            find=lambda image_id: _document(entities(), image_id),
        ),
        gateways.OPENAPI,
    )


def _users(settings: DecisionSettings, keys: Keyring | None) -> Callable[[WSGIEnvironment], Subject]:
    """Return what says whom a gateway's request is about."""
    if settings.identity is Identity.JWT:
        assert settings.jwt is not None
        return factories.by_token(settings.jwt, keys)
    # Gateways pass on what the client wrote; keystonemiddleware must have run in this service.
    return keystone.identify


def _document(entities: Entities, image_id: str) -> Mapping[str, object] | None:
    """Return what the entities say of an image, as the API would; None where they do not know it."""
    image = entities.resources.get(("image", image_id))
    return image.document if isinstance(image, StoredImage) else None


def _upstream(settings: DecisionSettings) -> WSGIApplication | None:
    """Return the API that is asked about an image, None where there is none."""
    if settings.upstream is None:
        return None
    from protect.connections import Connections
    from protect.proxy.forwarder import Forwarder

    api = settings.upstream
    return Forwarder(Connections(api.upstream, timeout=api.timeout, ca=api.ca))


def _entities(settings: DecisionSettings) -> tuple[Callable[[], Entities], dict[str, Look]]:
    """Return what the entities are at the moment, and what may go wrong with them later; raises PolicyError."""
    if settings.entities is None:
        return lambda: NO_ENTITIES, {}
    file = EntitiesFile(settings.entities, settings.reload)
    file.start()
    return lambda: file.entities, {health_endpoints.ENTITIES: lambda: file.trouble}


def _guard(settings: DecisionSettings, keys: Keyring | None) -> tuple[guards.Guard, dict[str, Look]]:
    """Return what lets in only those who may ask, and what may go wrong with it later."""
    watched: dict[str, Look] = {}
    found: guards.Guard
    match settings.authentication:
        case Authentication.TOKENS:
            assert settings.tokens is not None
            tokens = guards.TokenFile(settings.tokens)
            tokens.start()
            watched[health_endpoints.TOKENS] = lambda: tokens.trouble
            found = tokens
        case Authentication.JWT:
            found = _issuer(settings, keys)
        case Authentication.TLS:
            found = guards.Tls(listener_verifies=settings.listener_verifies, names=settings.tls_names)
        case Authentication.UNIX:
            found = guards.Unix()
        case Authentication.OFF:
            found = guards.Off()
    return found, watched


def _named(guard: guards.Guard) -> Guard:
    def name(environ: WSGIEnvironment, credentials: str) -> str:
        return guard(environ, _HEADERS[credentials]).name

    return name


def _issuer(settings: DecisionSettings, keys: Keyring | None) -> guards.Guard:
    # Cryptography is loaded for those who use it: it is memory in every worker.
    from protect.identity.jwt import Tokens

    assert settings.jwt is not None
    assert keys is not None
    tokens = Tokens(
        keys,
        issuer=settings.jwt.issuer,
        audience=settings.jwt.audience,
        algorithms=settings.jwt.algorithms,
        leeway=settings.jwt.leeway,
        read=lambda claims: guards.enforcement_point_of(claims, settings.jwt_scope),
    )
    return guards.Bearer(tokens.verify)
