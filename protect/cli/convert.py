"""`protect convert`: a policy in another language, proven to decide alike before it is written."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from protect.cli import policies
from protect.errors import ConfigError, Problem

if TYPE_CHECKING:
    from protect.analysis import Comparison
    from protect.convert.from_protections import Writer
    from protect.policy import Policy

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Converts a policy into another language:

  property-protections.conf  to Polar, in both of Glance's formats (--protection-format)
  policy.yaml                to Polar: Glance's rules for oslo.policy, over those in Glance's own code
  .polar files, directories  to a property-protections.conf, where names of properties and roles alone decide

Nothing is written that does not decide as FROM does. For protection files that is proven over all requests, by
comparing the decision graphs; for a policy.yaml, oslo.policy's own Enforcer is asked beside the converted policy about
everything that its rules tell apart. What cannot be converted is refused, with the requests that would be decided
otherwise. On standard error: what FROM says, and cannot mean what its author thinks.
"""

EXAMPLES = """\
examples:
  protect convert /etc/glance/property-protections.conf
      to standard output
  protect convert property-protections.conf --protection-format policies --policy-rules policy.yaml -o properties.polar
      a file whose operations name rules of oslo.policy
  protect convert /etc/glance/policy.yaml -o images.polar
      who may do what with images
  protect convert my_properties.polar --to conf -o property-protections.conf
      back, for a Glance without protect

"""

STATUS = """\
exit status:
  0  converted, and proven
  1  refused: the conversion would decide some request otherwise, or this cannot be proven
  2  wrong usage, or a policy that cannot be read
  3  an error in protect itself
"""

_YAML = (".yaml", ".yml")

#: What a conversion is called in messages about it.
_CONVERTED = "converted.polar"
#: So many groups of sections are explored as they stand, for so many seconds; more of them, and for longer, one by one.
_FEW = 30
_AT_ONCE = 2.0


def add_commands(commands: Commands, exit_status: str) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        "convert",
        help="a policy in another language, proven to decide alike",
        description=DESCRIPTION,
        epilog=EXAMPLES + STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("source", metavar="FROM", nargs="+", help="the policy; several .conf files are one")
    command.add_argument("--to", choices=("polar", "conf"), help="the language (default: the other one)")
    command.add_argument("--output", "-o", metavar="FILE", help="where to write it (default: standard output)")
    command.add_argument("--force", action="store_true", help="overwrite FILE")
    policies.add_options(command)
    command.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Convert, prove, write, and return the exit status."""
    from protect.convert.wording import Unspeakable

    output = _output(chosen)
    try:
        written = _converted(chosen)
    except Unspeakable as error:
        print(f"protect: not converted: {error}", file=sys.stderr)
        return 1
    if written is None:
        return 1
    if output is None:
        sys.stdout.buffer.write(written.encode())
        return 0
    from protect.cli.writing import write

    write(output, written.encode())
    return 0


def _output(chosen: argparse.Namespace) -> Path | None:
    """Return where to write, links followed; None is standard output. Raises ConfigError for what must not be lost."""
    if chosen.output is None:
        return None
    output = Path(chosen.output)
    if not chosen.output:
        raise ConfigError("the name of the file is empty; name a file, or leave --output out")
    if any(output.exists() and Path(path).exists() and output.samefile(path) for path in chosen.source):
        raise ConfigError(f"`{output}` is what is converted; name another file")
    if os.path.lexists(output) and not chosen.force:
        raise ConfigError(f"`{output}` exists; name another file, or overwrite it with --force")
    # A device behind a link has no other name.
    return output.resolve() if output.is_symlink() and (output.is_file() or not output.exists()) else output


def _converted(chosen: argparse.Namespace) -> str | None:
    """Return the converted policy; None where it was refused, and this was said."""
    suffixes = {Path(path).suffix for path in chosen.source}
    for path in chosen.source:
        if not Path(path).exists():
            raise ConfigError(f"`{path}` does not exist; name a policy file")
    if suffixes == {".conf"}:
        _only(chosen.to, "polar", "a protection file")
        return _protections(chosen)
    if suffixes <= {*_YAML}:
        _only(chosen.to, "polar", "a file of rules for oslo.policy")
        if len(chosen.source) > 1:
            raise ConfigError("one file of rules is converted at a time; name one")
        return _rules(chosen.source[0])
    if suffixes & {".conf", *_YAML}:
        raise ConfigError("these files are in different languages; convert one kind at a time")
    _only(chosen.to, "conf", "a policy in Polar")
    return _policy(chosen)


def _only(wanted: str | None, possible: str, what: str) -> None:
    if wanted not in (None, possible):
        raise ConfigError(f"{what} is converted to `{possible}`, not to `{wanted}`; leave --to out")


def _protections(chosen: argparse.Namespace) -> str | None:
    from protect.convert.from_protections import Writer, comments
    from protect.convert.proof import compared
    from protect.errors import PolicyError
    from protect.loading import compile_sources
    from protect.protections.checks import RuleBook
    from protect.protections.sections import Format, Reader

    sources = policies.sources(chosen.source, policies.protection(chosen))
    with _unsaid("protect.policy"):
        old = compile_sources(sources)
    reader = Reader()
    if sources.format is Format.POLICIES:
        name, data = sources.rules or ("", b"")
        reader = Reader(RuleBook(data.decode(), name).condition)
    texts = {name: data.decode() for name, data in sources.files}
    for name, text in texts.items():
        reader.read(text, name)
    if reader.problems:
        raise PolicyError(reader.problems)
    _warn(reader.warnings)
    writer = Writer(reader.sections, {name: comments(text) for name, text in texts.items()})
    written = writer.written()
    new = _explored(writer, written, old)
    comparison = compared(old, writer.gathered(old.revision), new, writer.unions)
    return written if _proven(comparison, (chosen.source[0], old), "for all requests, on the decision graphs") else None


def _explored(writer: Writer, written: str, old: Policy) -> Policy:
    """Return the converted policy, explored whole: at once, or where that takes long, link by link.

    Raises Unspeakable for a policy of which neither can be done.
    """
    from protect.convert.from_protections import BEHIND
    from protect.convert.proof import Broken, chained, deepest, explored
    from protect.convert.wording import Unspeakable
    from protect.errors import PolicyError
    from protect.polar.compiler import compile_policy

    few = writer.groups <= _FEW
    try:
        whole = compile_policy([(_CONVERTED, written)], old.revision, seconds=_AT_ONCE if few else 0.0)
        if explored(whole):
            return whole
        if not deepest(whole):
            raise Broken
        links = chained([_compiled(link) for link in writer.links()], BEHIND)
    except (PolicyError, Broken) as error:
        if few and isinstance(error, PolicyError):
            raise
        raise Unspeakable(
            f"{writer.groups} sections in a row that all say something else make rules that cannot be explored whole, "
            "so nothing can be proven of them; put sections together that say the same, or keep the file: it is "
            "loaded as it is"
        ) from None
    print(
        f"protect: {writer.groups} sections in a row that all say something else take long to explore when the rules "
        "are loaded; sections that say the same are quicker, and so is the protection file itself",
        file=sys.stderr,
    )
    return links


@contextmanager
def _unsaid(logger: str) -> Iterator[None]:
    """Leave out what loading warns about: it is said here, once."""
    silenced = logging.getLogger(logger)
    before, silenced.disabled = silenced.disabled, True
    try:
        yield
    finally:
        silenced.disabled = before


def _rules(path: str) -> str | None:
    from protect.analysis.sentences import details
    from protect.convert.enforcer import proof
    from protect.convert.from_rules import Rules, Writer

    try:
        content = Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        raise ConfigError(f"`{path}` is not UTF-8 text; save it as UTF-8") from None
    rules = Rules(content, path)
    _warn(Problem(path, one.line, 1, one.message) for one in rules.warnings)
    written = Writer(rules).written()
    with _unsaid("oslo_policy.policy"):
        found = proof(rules, _compiled(written))
    for one in found.disagreements or ():
        said = "allows" if one.enforcer else "refuses"
        print(f"protect: oslo.policy {said}, and the conversion does not: {details(one.query)}", file=sys.stderr)
    if found.disagreements:
        print("protect: not converted: it would decide these requests otherwise", file=sys.stderr)
        return None
    whole = "everything that the rules tell apart" if found.complete else "a part of what the rules tell apart"
    print(f"protect: asked oslo.policy's Enforcer as well: {found.asked} requests, {whole}", file=sys.stderr)
    return written


def _policy(chosen: argparse.Namespace) -> str | None:
    from protect.analysis import compare
    from protect.convert.to_protections import RESERVED_TO_ALL, written
    from protect.loading import Sources, compile_sources, read

    sources = read(chosen.source)
    policy = compile_sources(sources)
    text = written(policy, ", ".join(Path(path).name for path in chosen.source))
    beside = Sources((*sources.files, ("reserved.polar", RESERVED_TO_ALL.encode())))
    comparison = compare(compile_sources(beside), _compiled(text, "converted.conf"))
    names = "for all names but those that begin with `os_glance`, which Glance keeps for itself"
    if not _proven(comparison, (chosen.source[0], policy), f"{names}, on the decision graphs"):
        return None
    print(
        "protect: everything but properties is left to the API, its own attributes of images as well: a protection "
        "file cannot say more",
        file=sys.stderr,
    )
    return text


def _compiled(text: str, name: str = _CONVERTED) -> Policy:
    from protect.loading import Sources, compile_sources

    return compile_sources(Sources(((name, text.encode()),)))


def _proven(comparison: Comparison, old: tuple[str, Policy], how: str) -> bool:
    from protect.cli.diff import as_text

    if not comparison.differences and not comparison.unproven:
        print(f"protect: proven to decide alike, {how}", file=sys.stderr)
        return True
    print(as_text(comparison, old, ("the conversion", old[1])), file=sys.stderr)
    print("protect: not converted: that it decides alike is not proven, see above", file=sys.stderr)
    return False


def _warn(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(f"protect: warning: {problem}", file=sys.stderr)
