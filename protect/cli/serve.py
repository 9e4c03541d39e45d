"""`protect serve`: the decision endpoint, from a pipeline file or from flags alone."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from protect import factories, options, serving
from protect.errors import ConfigError
from protect.service.settings import OPTIONS, PREFIX
from protect.serving import ServerSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

log = logging.getLogger("protect.serve")

SECTION = "serve"

DESCRIPTION = """\
Answers decision queries over HTTP: AuthZEN, the Images endpoints, gateways and oslo.policy, from one policy. It loads
everything before it listens; where something is wrong it says all of it and ends with status 2.

Each flag has a variable (--policy-rules: PROTECT_POLICY_RULES) and a line in a pipeline file: options of the endpoint
in [app:decision], those of the server in [serve]. A flag wins over a variable, a variable over the file.
"""

EXAMPLES = """\
examples:
  protect serve --policy /etc/protect/policy --authentication tokens --tokens /etc/protect/tokens
      for this machine, at http://127.0.0.1:8181; a line of tokens is NAME:TOKEN, made with: openssl rand -hex 32
  protect serve --unix /run/protect/protect.sock --authentication unix
      the shipped rules, for whoever may open the socket
  protect serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --tls-client-ca ca.pem --authentication tls
      for other machines, each with a certificate of its own
  protect serve paste/sidecar.ini --workers 4
      from a pipeline file, which gunicorn and waitress serve as well

signals:
  SIGHUP   look at the policy's files now, in every worker; a broken policy leaves the last good one in force
  SIGTERM  refuse new connections, answer the requests that were begun, and end

"""

_ENDPOINT = {
    "policy": ("PATH", "a policy file, or a directory of them; may be given again (without: the shipped rules)"),
    "policy_rules": ("FILE", "the policy.yaml that protection files in the format `policies` refer to"),
    "protection_format": ("FORMAT", "of protection files: roles or policies (default: roles)"),
    "reload": ("SECONDS", "time between looks at the policy's files; 0: only on SIGHUP (default: 5)"),
    "max_age": ("SECONDS", "not ready when the last look is older (default: three times `reload`, at least 10)"),
    "authentication": ("HOW", "how those who ask prove who they are: tokens, jwt, tls, unix or off; needed"),
    "tokens": ("FILE", "for `tokens`: a file with lines NAME:TOKEN, which only its owner and group may read"),
    "tls_names": ("NAMES", "for `tls`: the names accepted, where the server shows them (granian does not)"),
    "jwks": ("FILE|URL", "the issuer's public keys, for `jwt`"),
    "jwt_issuer": ("TEXT", "the `iss` of tokens"),
    "jwt_audience": ("TEXT", "the `aud` of tokens"),
    "jwt_algorithms": ("NAMES", "of signatures (default: RS256 ES256 EdDSA)"),
    "jwt_leeway": ("SECONDS", "that the issuer's clock may be off (default: 30)"),
    "jwt_claims": ("PAIRS", "of users' tokens: which claim is what, such as `tenant=project_id`"),
    "jwt_scope": ("TEXT", "the scope that the token of one who asks must have"),
    "identity": ("HOW", "how a gateway's users are known: keystone or jwt (default: keystone)"),
    "gateway": (
        "HOW",
        "strict or action: what to do with what a gateway cannot carry out (default: strict)",
    ),
    "upstream": ("URL", "the image API that is asked about the images of a gateway's requests"),
    "upstream_timeout": ("SECONDS", "to connect to it, and between two signs of life"),
    "upstream_ca": ("FILE", "the certificates to trust for it"),
    "entities": ("FILE", "JSON: attributes of what queries name by id alone, and what searches range over"),
    "public_url": ("URL", "the https address by which clients reach this service, for its metadata"),
    "metrics": ("WHO", "may read /metrics: guarded (as the rest) or open (default: guarded)"),
    "decision_log": ("WHICH", "decisions are logged: denied, all or none (default: denied)"),
    "decision_log_facts": ("YES", "`yes`: with each decision what it takes to make it again, for protect replay"),
    "decision_log_file": ("FILE", "for the decision log (default: the standard output)"),
    "max_body": ("BYTES", "of a request (default: 1048576)"),
    "max_documents": ("BYTES", "of a request that carries many images (default: 8388608)"),
    "max_images": ("COUNT", "of images in such a request (default: 10000)"),
    "max_batch": ("COUNT", "of evaluations in one request (default: 1000)"),
    "max_seconds": ("SECONDS", "that a batch, a search or a list of images may take (default: 5)"),
}

_SERVER = {
    "listen": ("HOST:PORT", f"where to listen (default: {serving.DEFAULT_LISTEN})"),
    "unix": ("PATH", "listen at a Unix socket instead"),
    "socket_mode": ("OCTAL", "who may open the socket (default: 660)"),
    "tls_cert": ("FILE", "our certificate and its chain, PEM"),
    "tls_key": ("FILE", "its private key, PEM, PKCS#8"),
    "tls_client_ca": ("FILE", "let in only clients with a certificate of this authority, PEM"),
    "workers": ("COUNT", "processes (default: 1)"),
    "threads": (
        "COUNT",
        f"of each process (default: {serving.THREADS}; {serving.THREADS_THAT_WAIT} where requests wait for others)",
    ),
    "drain": ("SECONDS", f"that requests may still take after SIGTERM (default: {serving.DEFAULT_DRAIN})"),
    "insecure": (None, "beyond this machine even without TLS or authentication"),
}


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "serve",
        help="answer decision queries over HTTP",
        description=DESCRIPTION,
        epilog=EXAMPLES + exit_status,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("ini", metavar="INI", nargs="?", help="a pipeline file (without: the flags say everything)")
    _add(command.add_argument_group("the server, [serve]"), _SERVER)
    _add(command.add_argument_group("the endpoint, [app:decision]"), _ENDPOINT)
    command.set_defaults(run=run)


def _add(group: argparse._ArgumentGroup, table: Mapping[str, tuple[str | None, str]]) -> None:
    for name, (metavar, help) in table.items():
        flag = f"--{name.replace('_', '-')}"
        if metavar is None:
            group.add_argument(flag, dest=name, action="store_const", const="yes", help=help)
        elif name == "policy":
            group.add_argument(flag, dest=name, metavar=metavar, action="append", help=help)
        else:
            group.add_argument(flag, dest=name, metavar=metavar, help=help)


def run(chosen: argparse.Namespace) -> int:
    """Serve; returns the exit status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    serving.check_installed()
    settings = ServerSettings.from_options(_server_options(chosen))
    _tell_endpoint(chosen)
    serving.share_metrics(settings.workers)
    app = _application(chosen.ini)

    # Not before the metrics know where they are kept.
    from protect.service import slow_bodies
    from protect.service.assembly import sidecars

    endpoints = sidecars()
    if not endpoints:
        raise ConfigError(f"`{chosen.ini}` has no decision endpoint; add a section with `use = egg:protect#decision`")
    for endpoint in endpoints:
        _check(endpoint.settings.authentication, settings)
        if settings.tls_client_ca is not None:
            endpoint.believe_listener()
        log.info(
            "policy revision %s, authentication: %s",
            endpoint.reloader.policy.revision,
            endpoint.settings.authentication,
        )
    waits = app not in endpoints or any(endpoint.settings.upstream for endpoint in endpoints) or not settings.local
    threads = settings.threads or (serving.THREADS_THAT_WAIT if waits else serving.THREADS)
    log.info("listening at %s, with %d worker(s) of %d threads", settings.place, settings.workers, threads)

    def begin() -> None:
        slow_bodies.keep_threads(threads, settings.owns)

    def close() -> None:
        for endpoint in endpoints:
            endpoint.recorder.close()

    serving.serve(app, settings, threads=threads, begin=begin, close=close)
    return 0


def _server_options(chosen: argparse.Namespace) -> dict[str, str]:
    """Return the server's options: the section's, over them the variables', over these the flags'."""
    found = {}
    if chosen.ini is not None:
        if not Path(chosen.ini).is_file():
            raise ConfigError(f"`{chosen.ini}` is not a file; accepted: a pipeline file such as paste/sidecar.ini")
        found.update(factories.section(chosen.ini, SECTION))
        options.check_known(found, serving.OPTIONS)
    variables = {name: os.environ.get(PREFIX + name.upper(), "") for name in serving.OPTIONS}
    flags = {name: getattr(chosen, name) or "" for name in serving.OPTIONS}
    for given in (variables, flags):
        given = {name: value for name, value in given.items() if value}
        # Who names a place means that one, and not the one that was named elsewhere.
        if ("listen" in given) != ("unix" in given):
            found.pop("listen", None)
            found.pop("unix", None)
        found.update(given)
    return found


def _tell_endpoint(chosen: argparse.Namespace) -> None:
    """Hand the flags on as variables: that is where the endpoint looks, wherever in a pipeline it stands."""
    for name in OPTIONS:
        value = getattr(chosen, name, None)
        if value:
            os.environ[PREFIX + name.upper()] = shlex.join(value) if isinstance(value, list) else value


def _application(ini: str | None) -> WSGIApplication:
    return factories.decision_factory({}) if ini is None else factories.application(ini)


def _check(authentication: str, settings: ServerSettings) -> None:
    """Raise ConfigError where what listens does not fit how those who ask prove who they are."""
    if authentication == "unix" and settings.unix is None:
        raise ConfigError("`authentication = unix` is for a Unix socket; add --unix PATH, or choose another")
    if authentication == "tls" and settings.tls_client_ca is None:
        raise ConfigError("`authentication = tls` needs --tls-client-ca FILE: without it nobody shows a certificate")
    if settings.local:
        return
    if authentication == "off" and not settings.insecure:
        raise ConfigError(
            f"{settings.place} can be reached from other machines, and `authentication = off` lets each of them ask "
            "about everyone; choose another, or say --insecure"
        )
    if settings.tls_cert is None:
        log.warning(
            "%s can be reached from other machines without TLS: tokens and decisions are readable", settings.place
        )
