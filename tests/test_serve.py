"""`protect serve`, and the same pipeline file under other servers: what starts, what does not, and what signals do."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from protect.cli import main
from tests.served import ROOT, Served, eventually, free_port, question, refused, serving

POLICY = 'allow(subject: Subject, "get_image", image: Image) if image.owner = subject.tenant;\n'
CLOSED = 'allow(subject: Subject, "get_image", _: Image) if subject.has_role("admin");\n'
TOKEN = "0123456789abcdef0123456789abcdef"
OFF = ["--authentication", "off"]
HEAD = "POST /access/v1/evaluation HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.polar"
    path.write_text(POLICY)
    return path


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text(f"nova:{TOKEN}\n")
    return path


def pipeline(tmp_path: Path, policy: Path, tokens: Path, port: int) -> Path:
    """The shipped pipeline file, with paths and a port of our own."""
    text = (ROOT / "paste" / "sidecar.ini").read_text()
    text = text.replace("/etc/protect/tokens", str(tokens)).replace(
        "#policy = /etc/protect/policy", f"policy = {policy}"
    )
    path = tmp_path / "sidecar.ini"
    path.write_text(text.replace("127.0.0.1:8181", f"127.0.0.1:{port}"))
    return path


def test_flags_alone_are_enough(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off") as served:
        assert served.decision("t1") is True
        assert served.decision("t2") is False
        eventually(lambda: b'"tenant":"t2"' in served.output.read_bytes(), "the denial in the decision log")
        line = json.loads(served.output.read_text())  # nothing but decisions there
        assert (line["outcome"], line["subject"], line["enforcement_point"]) == ("denied", "u1", "anyone")
        said = served.log.read_text()
        assert f"listening at http://127.0.0.1:{served.port}, with 1 worker(s) of 2 threads" in said
        assert f"policy revision {served.ready()['revision']}, authentication: off" in said
        assert served.end() == 0


def test_the_shipped_pipeline_file(tmp_path: Path, policy: Path, tokens: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "protect", "serve", str(pipeline(tmp_path, policy, tokens, port))]
    with serving(tmp_path, command=command, port=port, headers=BEARER) as served:
        assert served.decision("t1") is True
        assert served.decision("t2") is False
        assert served.ask("POST", "/access/v1/evaluation", question(), Authorization="Bearer " + "x" * 32)[0] == 401
        assert served.end() == 0


GUNICORN = ["-m", "gunicorn", "--paste", "{ini}", "--bind", "127.0.0.1:{port}", "--workers", "1", "--threads", "2"]
WAITRESS = [
    "-c",
    "from paste.deploy import loadapp, loadserver; loadserver('config:{ini}')(loadapp('config:{ini}'))",
]


@pytest.mark.parametrize("server", [pytest.param(GUNICORN, id="gunicorn"), pytest.param(WAITRESS, id="waitress")])
def test_other_servers_serve_the_same_file(tmp_path: Path, policy: Path, tokens: Path, server: list[str]) -> None:
    port = free_port()
    ini = pipeline(tmp_path, policy, tokens, port)
    command = [sys.executable, *(part.format(ini=ini, port=port) for part in server)]
    with serving(tmp_path, command=command, port=port, headers=BEARER) as served:
        assert served.decision("t1") is True
        assert served.decision("t2") is False
        assert served.ask("POST", "/access/v1/evaluation", question(), Authorization="")[0] == 401
        eventually(lambda: b'"tenant":"t2"' in served.output.read_bytes(), "the denial in the decision log")
        policy.write_text(CLOSED)
        eventually(lambda: not served.decision("t1"), "the change of the policy in force")


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(tmp_path: Path, policy: Path, tokens: Path) -> None:
    port = free_port()
    ini = pipeline(tmp_path, tmp_path / "missing.polar", tokens, free_port())
    environment = {
        "PROTECT_POLICY": str(policy),
        "PROTECT_AUTHENTICATION": "off",
        "PROTECT_LISTEN": f"127.0.0.1:{free_port()}",
        "PROTECT_PORT": "tcp://10.0.0.1:8181",  # as an orchestrator sets it for a service called `protect`
    }
    command = [sys.executable, "-m", "protect", "serve", str(ini), "--listen", f"127.0.0.1:{port}"]
    with serving(tmp_path, command=command, port=port, environment=environment) as served:
        assert served.decision("t1") is True


def test_a_unix_socket(tmp_path: Path, policy: Path) -> None:
    path = tmp_path / "socket"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    options = ["--policy", str(policy), "--authentication", "unix", "--socket-mode", "600"]
    with serving(tmp_path, *options, unix=path) as served:
        assert served.decision("t1") is True
        assert path.stat().st_mode & 0o777 == 0o600
        status, said = refused("--unix", str(path), "--authentication", "unix")
        assert (status, "somebody does already" in said) == (2, True)
        assert served.end() == 0
    assert not path.exists()


def certificates(directory: Path) -> dict[str, Path]:
    """An authority, a server's certificate and a client's."""
    paths = {
        name: directory / f"{name}.pem" for name in ("ca", "ca-key", "server", "server-key", "client", "client-key")
    }

    def openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl(*new, "-subj", "/CN=authority", "-keyout", paths["ca-key"], "-out", paths["ca"])
    for name in ("server", "client"):
        by = ["-CA", paths["ca"], "-CAkey", paths["ca-key"], "-addext", "basicConstraints=critical,CA:FALSE"]
        also = ["-addext", "subjectAltName=IP:127.0.0.1"]
        openssl(*new, "-subj", f"/CN={name}", *by, *also, "-keyout", paths[f"{name}-key"], "-out", paths[name])
    return paths


def ask_over_tls(port: int, paths: dict[str, Path], client: bool) -> bytes:
    context = ssl.create_default_context(cafile=str(paths["ca"]))
    if client:
        context.load_cert_chain(paths["client"], paths["client-key"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        body = question()
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("ini", [False, True], ids=["flags alone", "a pipeline file"])
def test_tls_lets_in_only_those_with_a_certificate(tmp_path: Path, policy: Path, tokens: Path, ini: bool) -> None:
    paths = certificates(tmp_path)
    port = free_port()
    files = [str(pipeline(tmp_path, policy, tokens, port))] if ini else ["--policy", str(policy)]
    tls = [
        "--tls-cert",
        str(paths["server"]),
        "--tls-key",
        str(paths["server-key"]),
        "--tls-client-ca",
        str(paths["ca"]),
    ]
    options = [*files, "--listen", f"127.0.0.1:{port}", "--authentication", "tls", *tls]
    process = subprocess.Popen(
        [sys.executable, "-m", "protect", "serve", *options], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: connects(port), "the listener")
        assert b'"decision":true' in ask_over_tls(port, paths, client=True)
        with pytest.raises(OSError):
            ask_over_tls(port, paths, client=False)
    finally:
        process.terminate()
        assert process.wait(30) == 0


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def test_sighup_makes_every_worker_look_and_a_broken_policy_changes_nothing(tmp_path: Path, policy: Path) -> None:
    options = ["--policy", str(policy), "--authentication", "off", "--reload", "0", "--workers", "2"]
    with serving(tmp_path, *options) as served:
        eventually(lambda: len(served.workers()) == 2, "two workers")
        pids = served.workers()
        policy.write_text(CLOSED)
        served.signal(signal.SIGHUP)
        eventually(lambda: not any(served.decision() for _ in range(10)), "the new policy in every worker")
        policy.write_text("allow(")
        served.signal(signal.SIGHUP)
        # The first process and both workers.
        eventually(lambda: served.log.read_text().count("stays in force") == 3, "the broken policy to be noticed")
        assert not any(served.decision() for _ in range(10))
        found = served.ready()
        assert found["ready"] is True
        assert len(found["problems"]) == 1
        assert served.ask("GET", "/readyz?strict")[0] == 503
        assert str(policy) in served.ask("GET", "/v1/status")[1].decode()
        assert served.workers() == pids


def test_a_worker_that_dies_is_replaced_by_one_with_the_last_good_policy(tmp_path: Path, policy: Path) -> None:
    options = ["--policy", str(policy), "--authentication", "off", "--reload", "0"]
    with serving(tmp_path, *options) as served:
        policy.write_text(CLOSED)
        served.signal(signal.SIGHUP)
        eventually(lambda: not served.decision(), "the new policy in force")
        revision = served.ready()["revision"]
        policy.write_text("allow(")
        [pid] = served.workers()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: served.workers() not in ([], [pid]), "another worker")
        eventually(lambda: answering(served), "its first answer")
        assert served.ready()["revision"] == revision
        assert served.decision() is False


def answering(served: Served) -> bool:
    try:
        return served.ask("GET", "/healthz")[0] == 200
    except OSError:
        return False


def test_workers_end_with_the_process_that_started_them(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off", "--workers", "2") as served:
        eventually(lambda: len(served.workers()) == 2, "two workers")
        pids = served.workers()
        served.process.kill()
        served.process.wait()
        eventually(lambda: not any(alive(pid) for pid in pids), "the end of the workers")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_sigterm_lets_a_request_that_was_begun_end(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off") as served:
        body = question()
        connection = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        connection.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
        # The request is in a thread now, and waits for the rest of its body.
        eventually(lambda: served.decision() is True, "another answer")
        served.signal(signal.SIGTERM)
        eventually(lambda: not connects(served.port), "new connections to be refused")
        assert served.process.poll() is None
        connection.sendall(body[20:])
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"decision":true' in answer
        connection.close()
        assert served.process.wait(20) == 0


def test_a_request_that_never_ends_does_not_keep_it(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off", "--drain", "1") as served:
        connection = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        connection.sendall(f"{HEAD}Content-Length: 9\r\n\r\n".encode())
        eventually(lambda: served.decision() is True, "another answer")
        start = time.monotonic()
        assert served.end() == 0
        assert time.monotonic() - start < 10
        connection.close()


def test_what_was_decided_last_is_in_the_log(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off") as served:
        for number in range(50):
            served.decision(f"other{number}")
        assert served.end() == 0
        assert served.output.read_bytes().count(b"\n") == 50


def test_a_reader_of_the_log_that_does_not_read_stops_nobody(tmp_path: Path, policy: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    questions = 2000
    try:
        options = ["--policy", str(policy), *OFF, "--decision-log", "all", "--decision-log-file", str(pipe)]
        with serving(tmp_path, *options) as served:
            body = json.dumps({**json.loads(question()), "evaluations": [{}] * (questions // 2)}).encode()
            for _ in range(2):
                assert served.ask("POST", "/access/v1/evaluations", body)[0] == 200
            wanted = f'outcome="allowed"}} {questions}.0\n'.encode()
            # More of them than there are threads.
            for _ in range(20):
                status, page = served.ask("GET", "/metrics")
                assert (status, wanted in page) == (200, True)
            assert served.decision() is True
            start = time.monotonic()
            assert served.end() == 0
            assert time.monotonic() - start < 20
            assert "of the decision log are lost: whoever reads it does not read" in served.log.read_text()
    finally:
        os.close(reader)


def test_bodies_that_do_not_come_stop_nobody_for_long(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), *OFF, "--threads", "3") as served:
        slow = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(3)]
        for connection in slow[:2]:
            connection.sendall(f"{HEAD}Content-Length: 9\r\n\r\n".encode())
        assert served.decision() is True  # by the third thread
        slow[2].sendall(f"{HEAD}Content-Length: 9\r\n\r\n".encode())
        for connection in slow:
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
            connection.close()
        assert served.decision() is True
        assert "each thread waited for a body" in served.log.read_text()


def test_gunicorn_gives_up_on_a_body_that_does_not_come(tmp_path: Path, policy: Path, tokens: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        *(part.format(ini=pipeline(tmp_path, policy, tokens, port), port=port) for part in GUNICORN),
    ]
    environment = {"PROTECT_AUTHENTICATION": "off", "PROTECT_MAX_SECONDS": "0.2"}
    with serving(tmp_path, command=command, port=port, environment=environment) as served:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(f"{HEAD}Content-Length: 9\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        assert served.decision() is True


def test_sighup_reaches_the_entities_too(tmp_path: Path, policy: Path) -> None:
    file = tmp_path / "entities.json"

    def write(tenant: str) -> None:
        subject = {"type": "user", "id": "u1", "properties": {"tenant": tenant, "roles": ["member"]}}
        file.write_text(json.dumps({"subjects": [subject], "resources": []}))

    def allowed() -> bool:
        body = {**json.loads(question()), "subject": {"type": "user", "id": "u1"}}
        return bool(json.loads(served.ask("POST", "/access/v1/evaluation", json.dumps(body).encode())[1])["decision"])

    write("t1")
    with serving(tmp_path, "--policy", str(policy), *OFF, "--reload", "0", "--entities", str(file)) as served:
        assert allowed()
        write("t2")
        served.signal(signal.SIGHUP)
        eventually(lambda: not allowed(), "the other entities in force")


def test_without_the_server_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "granian", None)
    assert main(["serve", *OFF]) == 2
    said = capsys.readouterr().err
    assert "`protect serve` needs granian: pip install '.[serve]'" in said
    assert "listening" not in said


def test_the_metrics_of_all_workers_are_one_sum(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off", "--workers", "2") as served:
        threads = [threading.Thread(target=served.decision) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = b'protect_decisions_total{action="get_image",cause="policy",outcome="allowed"} 20.0\n'
        eventually(lambda: wanted in served.ask("GET", "/metrics")[1], "all decisions in the sum")


def test_a_variable_of_the_process_is_no_header_of_a_request(tmp_path: Path, policy: Path, tokens: Path) -> None:
    # granian puts the environment of the process into that of each request.
    options = ["--policy", str(policy), "--authentication", "tokens", "--tokens", str(tokens)]
    with serving(tmp_path, *options, environment={"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}) as served:
        assert served.ask("POST", "/access/v1/evaluation", question())[0] == 401
        assert served.ask("POST", "/access/v1/evaluation", question(), **BEARER)[0] == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "`authentication` is missing", id="nobody chose who may ask"),
        pytest.param(
            ["--authentication", "none"], "`authentication = none` is not accepted", id="a choice there is not"
        ),
        pytest.param(["--authentication", "tokens"], "needs `tokens`", id="tokens without a file"),
        pytest.param(
            ["--authentication", "tokens", "--tokens", "/missing"], "`/missing` cannot be read", id="no such file"
        ),
        pytest.param(["--authentication", "unix"], "add --unix PATH", id="a socket's permissions, without a socket"),
        pytest.param(["--authentication", "tls"], "needs --tls-client-ca", id="certificates, without TLS"),
        pytest.param([*OFF, "--listen", "0.0.0.0:9"], "say --insecure", id="open to everyone"),
        pytest.param([*OFF, "--listen", "8181"], "accepted: HOST:PORT", id="a port alone"),
        pytest.param([*OFF, "--listen", "127.0.0.1:0"], "accepted: HOST:PORT", id="any port"),
        pytest.param([*OFF, "--listen", "no.such.invalid:1"], "is not known", id="an unknown host"),
        pytest.param([*OFF, "--unix", "/a/b/c"], "the directory does not exist", id="nowhere"),
        pytest.param([*OFF, "--unix", "/etc/passwd"], "is not a socket", id="somebody's file"),
        pytest.param([*OFF, "--tls-cert", "x"], "belong together", id="a certificate without its key"),
        pytest.param([*OFF, "--tls-client-ca", "x"], "needs `tls_cert`", id="an authority alone"),
        pytest.param([*OFF, "--tls-cert", "/x", "--tls-key", "/x"], "No such file", id="missing TLS files"),
        pytest.param([*OFF, "--socket-mode", "999"], "three octal digits", id="no mode"),
        pytest.param([*OFF, "--workers", "0"], "above 0", id="no worker"),
        pytest.param([*OFF, "--max-batch", "many"], "a number of evaluations", id="no number"),
        pytest.param([*OFF, "--reload", "0", "--max-age", "5"], "nobody looks", id="an age of nothing"),
        pytest.param([*OFF, "--public-url", "http://x"], "http for this machine only", id="an address without TLS"),
        pytest.param([*OFF, "--tokens", "/x"], "`authentication = tokens` only", id="unread tokens"),
        pytest.param([*OFF, "--decision-log-file", "/a/b"], "cannot be written", id="no such log"),
        pytest.param(["--authentication", "jwt"], "`jwks` is missing", id="an issuer without keys"),
        pytest.param(["/missing.ini"], "`/missing.ini` is not a file", id="no pipeline file"),
    ],
)
def test_what_cannot_be_used_ends_it_with_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(["serve", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_every_problem_of_a_policy_is_told_before_anybody_listens(tmp_path: Path, policy: Path) -> None:
    policy.write_text("allow(\n")
    other = tmp_path / "other.polar"
    other.write_text('allow(_s: Subject, "x", _i: Imag);\n')
    status, said = refused("--policy", str(policy), "--policy", str(other), "--authentication", "off")
    assert status == 2
    assert f"{policy}:" in said
    assert f"{other}:1:" in said
    assert "listening" not in said and "Traceback" not in said


def test_a_port_that_is_taken_ends_it_with_2(tmp_path: Path, policy: Path) -> None:
    with serving(tmp_path, "--policy", str(policy), "--authentication", "off") as served:
        status, said = refused("--listen", f"127.0.0.1:{served.port}", "--authentication", "off")
        assert (status, "Address already in use" in said) == (2, True)
        assert served.decision() is True


def test_a_key_in_another_format_is_told_how_to_convert(tmp_path: Path) -> None:
    paths = certificates(tmp_path)
    old = tmp_path / "old.pem"
    subprocess.run(["openssl", "ec", "-in", paths["server-key"], "-out", old], check=True, capture_output=True)
    status, said = refused("--tls-cert", str(paths["server"]), "--tls-key", str(old), "--authentication", "off")
    assert (status, "openssl pkcs8 -topk8" in said) == (2, True)


def test_a_pipeline_file_without_the_endpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.ini").write_text("[app:main]\npaste.app_factory = tests.test_factories:api_factory\n")
    status, said = refused(str(tmp_path / "x.ini"))
    assert (status, "has no decision endpoint" in said) == (2, True)


def test_memory_of_a_worker_with_the_shipped_rules(tmp_path: Path) -> None:
    from tests.bench.reloads import memory

    with serving(tmp_path, "--authentication", "off") as served:
        for _ in range(50):
            served.decision()
        assert max(memory(pid) for pid in served.workers()) < 80


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for word in ("--policy PATH", "PROTECT_POLICY", "SIGHUP", "SIGTERM", "examples:", "exit status:"):
        assert word in said
