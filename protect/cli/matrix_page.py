"""The matrix as one page of HTML: nothing from the network, readable without scripts, and why on a click.

Whatever comes from a policy is text of somebody else's, and is escaped wherever it stands. The page allows itself its
own style and script by their hashes, so that nothing else runs even if that failed.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from protect.cli.explain import told
from protect.showing import visible

if TYPE_CHECKING:
    from protect.analysis.matrix import Cell, Column, Matrix, Place, Row
    from protect.policy import Policy

#: How an answer stands in a cell: columns are narrow.
_WORDS = {"yes": "yes", "no": "no", "depends": "if", "unclear": "?", "never": "·"}
#: What is longer is shown by its beginning, and whole on a click.
_LONG = 80

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --line: #d3dae3; --strong: #8d99a8; --soft: #f1f4f8;
  --yes: #0b6b3a; --yes-paper: #dff5e7; --no: #5b6675; --depends: #7a4b00; --depends-paper: #fdf0d2;
  --unclear: #8a1c1c; --unclear-paper: #fbe3e3; --focus: #1a5fd0; --first: 17rem; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5eaf1; --paper: #12161c; --line: #2f3742; --strong: #6b7787;
  --soft: #1b2129; --yes: #7fe0a8; --yes-paper: #10351f; --no: #98a3b3; --depends: #f4cd7e; --depends-paper: #3a2b0a;
  --unclear: #ffabab; --unclear-paper: #431818; --focus: #7fb0ff; } }
html { scroll-padding: 15rem 1rem 2rem calc(var(--first) + 2rem); }
html:has(.why:target) { scroll-padding-bottom: 46vh; }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0;
  box-sizing: border-box; width: max-content; min-width: 100%; padding: 1rem 1.25rem 2rem; }
body:has(.why:target) { padding-bottom: 46vh; }
header { position: sticky; left: 1.25rem; box-sizing: border-box; width: calc(100vw - 3.5rem); max-width: 70rem; }
h1 { font-size: 1.4rem; margin: 0 0 .4rem; }
p { margin: .4rem 0; }
form { display: flex; gap: .5rem 1.25rem; flex-wrap: wrap; align-items: baseline; margin: .8rem 0; }
[hidden] { display: none !important; }
input, select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--strong);
  border-radius: 3px; padding: .2rem .3rem; max-width: 60vw; }
.key { display: inline-block; min-width: 1.6rem; padding: 0 .2rem; text-align: center; border-radius: 3px; }
table { border-collapse: separate; border-spacing: 0; border: 1px solid var(--strong); border-width: 1px 0 0 1px; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { border: 1px solid var(--line); border-width: 0 1px 1px 0; padding: 0; text-align: left; font-weight: normal; }
th { background: var(--soft); padding: .25rem .5rem; }
.last { border-right-color: var(--strong); }
thead { position: sticky; top: 0; z-index: 2; }
thead th { vertical-align: bottom; }
thead th[scope=colgroup] { font-weight: 600; max-width: 10rem; overflow-wrap: anywhere; vertical-align: top;
  border-right-color: var(--strong); }
thead tr + tr th { border-bottom-color: var(--strong); padding: .4rem 0; }
thead tr + tr span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 13rem; margin: 0 auto;
  display: block; line-height: 1.15; font-size: .93em; }
tbody th, .corner { position: sticky; left: 0; z-index: 1; width: var(--first); min-width: var(--first);
  max-width: var(--first); box-sizing: border-box; overflow-wrap: anywhere; border-right-color: var(--strong); }
th[scope=rowgroup] { font-weight: 600; font-size: 1.1em; padding-top: .9rem; border-bottom-color: var(--strong); }
.gap { background: var(--soft); border-bottom-color: var(--strong); }
tbody tr:hover > * { border-bottom-color: var(--focus); }
td a { display: block; min-width: 1.9rem; padding: .25rem 0; text-align: center; color: inherit;
  text-decoration: none; }
td:not(.gap) { min-width: 1.9rem; text-align: center; }
td a:hover { text-decoration: underline; }
:focus-visible, td a[aria-current] { outline: 3px solid var(--focus); outline-offset: -3px; }
summary { cursor: pointer; }
.yes { color: var(--yes); background: var(--yes-paper); } .no, .never { color: var(--no); }
.depends { color: var(--depends); background: var(--depends-paper); }
.unclear { color: var(--unclear); background: var(--unclear-paper); }
.why { display: none; position: fixed; z-index: 3; left: 0; right: 0; bottom: 0; max-height: 42vh; overflow: auto;
  box-sizing: border-box; padding: .8rem 1.25rem 1rem; background: var(--paper); border-top: 3px solid var(--focus);
  box-shadow: 0 -4px 16px #0004; outline: none; }
.why:target { display: block; }
.why h2 { font-size: 1.1rem; margin: 0 5rem .3rem 0; overflow-wrap: anywhere; }
.why > a { position: absolute; top: .8rem; right: 1.25rem; color: var(--focus); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: .3rem 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
pre { font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0; }
@media (max-width: 40rem) {
  :root { --first: 38vw; } body { font-size: 13px; padding: .7rem .7rem 2rem; }
  header { left: .7rem; width: calc(100vw - 1.4rem); } label { width: 100%; } input, select { max-width: 100%; }
  tbody th, .corner { padding-left: .3rem; padding-right: .3rem; } thead tr + tr span { max-height: 8rem; }
  dl { display: block; } dd { margin-left: 1rem; }
}
@media print {
  @page { size: A4 landscape; margin: 8mm; }
  :root { color-scheme: light; --ink: #000; --paper: #fff; --line: #bbb; --strong: #666; --soft: #f1f4f8;
    --yes: #0b6b3a; --yes-paper: #dff5e7; --no: #5b6675; --depends: #7a4b00; --depends-paper: #fdf0d2;
    --unclear: #8a1c1c; --unclear-paper: #fbe3e3; --focus: #666; --first: 14rem; }
  body { font-size: 8px; padding: 0; width: auto; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  header, thead, tbody th, .corner { position: static; } header { width: auto; } form { display: none; }
  thead { display: table-header-group; } tr { break-inside: avoid; } td a, td:not(.gap) { min-width: 1.4rem; }
  td a { padding: .1rem 0; } td a[aria-current] { outline-width: 1px; }
  .why { position: static; max-height: none; box-shadow: none; } .why > a { display: none; } pre { font-size: 8px; }
}
"""

_SCRIPT = """
(function () {
  'use strict';
  var form = document.querySelector('form'), said = form.querySelector('output');
  var table = document.querySelector('table');
  var heads = table.tHead.rows, groups = [].slice.call(table.tBodies), last = null, tabbed = null;
  var lines = [];
  groups.forEach(function (group) {
    [].slice.call(group.rows, 1).forEach(function (row) {
      var text = (group.rows[0].cells[0].textContent + ' ' + row.cells[0].textContent).toLowerCase();
      lines.push({ row: row, group: group, text: text });
    });
  });
  var places = heads[1].cells.length / (heads[0].cells.length - 1), who = '';

  function subjects() {
    if (form.elements.who.value === who) { return; }
    who = form.elements.who.value;
    function off(index) { return who !== '' && Math.floor(index / places) !== Number(who); }
    [].forEach.call(heads[0].cells, function (cell, index) { cell.hidden = index > 0 && off((index - 1) * places); });
    [].forEach.call(heads[1].cells, function (cell, index) { cell.hidden = off(index); });
    lines.forEach(function (line) {
      [].forEach.call(line.row.cells, function (cell, index) { cell.hidden = index > 0 && off(index - 1); });
    });
    groups.forEach(function (group) { group.rows[0].cells[1].colSpan = who === '' ? heads[1].cells.length : places; });
  }
  function answers(row, wanted) {
    return wanted === '' || [].some.call(row.cells, function (cell) {
      return !cell.hidden && wanted.split(' ').indexOf(cell.className.split(' ')[0]) >= 0;
    });
  }
  function shown() {
    subjects();
    var words = form.elements.text.value.toLowerCase().split(/\\s+/), wanted = form.elements.answer.value, count = 0;
    groups.forEach(function (group) { group.hidden = true; });
    lines.forEach(function (line) {
      var keep = words.every(function (word) { return line.text.indexOf(word) >= 0; }) && answers(line.row, wanted);
      line.row.hidden = !keep;
      if (keep) { line.group.hidden = false; count += 1; }
    });
    said.textContent = count + ' of ' + lines.length + ' lines';
    stop(tabbed && seen(tabbed) ? tabbed : [].find.call(table.querySelectorAll('td a'), seen));
  }
  function seen(link) { return link.getClientRects().length > 0; }
  // One stop for the tab key; arrows go on from there.
  function stop(link) {
    if (tabbed) { tabbed.tabIndex = -1; }
    tabbed = link || null;
    if (tabbed) { tabbed.tabIndex = 0; }
  }
  function beside(cell, step) {
    for (cell = cell[step]; cell; cell = cell[step]) {
      var link = !cell.hidden && cell.querySelector('a');
      if (link) { return link; }
    }
  }
  function below(cell, by) {
    var at = lines.findIndex(function (line) { return line.row === cell.parentNode; });
    for (at += by; lines[at]; at += by) {
      var link = !lines[at].row.hidden && lines[at].row.cells[cell.cellIndex].querySelector('a');
      if (link) { return link; }
    }
  }
  var keys = {
    ArrowLeft: function (cell) { return beside(cell, 'previousElementSibling'); },
    ArrowRight: function (cell) { return beside(cell, 'nextElementSibling'); },
    ArrowUp: function (cell) { return below(cell, -1); },
    ArrowDown: function (cell) { return below(cell, 1); }
  };
  table.addEventListener('keydown', function (event) {
    var move = keys[event.key], link = event.target.closest('td a');
    if (!move || !link || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) { return; }
    event.preventDefault();
    link = move(link.parentNode);
    if (link) { link.focus(); }
  });
  table.addEventListener('focusin', function (event) {
    if (event.target.matches('td a')) { stop(event.target); }
  });
  function mark(link) {
    if (last) { last.removeAttribute('aria-current'); }
    last = link;
    if (last) { last.setAttribute('aria-current', 'true'); }
  }
  // Without a step in the browser's history for each cell that is looked at.
  function go(hash) { location.replace(hash); }
  table.addEventListener('click', function (event) {
    var link = event.target.closest('td a');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) { return; }
    event.preventDefault();
    mark(link);
    go(link.hash);
    document.querySelector(link.hash).focus({ preventScroll: true });
    link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  });
  function close() {
    var link = last;
    go('#-');
    mark(null);
    if (link) { link.focus(); }
  }
  document.addEventListener('click', function (event) {
    if (event.target.closest('.why > a')) { event.preventDefault(); close(); }
  });
  document.addEventListener('keydown', function (event) {
    if (event.key === 'Escape' && document.querySelector('.why:target')) { close(); }
  });
  [].forEach.call(table.querySelectorAll('td a'), function (link) { link.tabIndex = -1; });
  form.addEventListener('input', shown);
  form.addEventListener('submit', function (event) { event.preventDefault(); });
  form.hidden = false;
  shown();
})();
"""


def page(made: Matrix, policy: Policy) -> str:
    """Return the page: actions and properties down, subjects and kinds of images across."""
    reasons = _Reasons(policy)
    body = "\n".join(_body(made, reasons))
    options = "".join(f'<option value="{number}">{escape(row.label)}</option>' for number, row in enumerate(made.rows))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_allowed()}">
<title>Who may do what</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>Who may do what</h1>
<p>Policy revision <code>{escape(policy.revision)}</code>. Across: who asks, and whose image it is.
{_key("yes")} and {_key("no")} hold for all such requests, {_key("depends")} under a condition;
{_key("unclear")} cannot be proven. Each answer leads to an example and the rules that decide it.</p>
<form hidden>
<label>Action or property <input type="search" name="text"></label>
<label>Subject <select name="who"><option value="">all</option>{options}</select></label>
<label>Answers <select name="answer"><option value="">all</option><option value="yes depends">some yes or if</option>
<option value="depends">some if</option><option value="unclear">some ?</option></select></label>
<output></output>
</form>
</header>
<main>
<table>
<caption>Who may do what: each line is an action or a property</caption>
{_head(made)}
{body}
</table>
{reasons.sections()}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _allowed() -> str:
    """Return the content security policy."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (_STYLE, _SCRIPT))
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def escape(said: str) -> str:
    """Return text of somebody else's for the page: it is no markup, and hides nothing."""
    return html.escape(visible(said))


def _key(answer: str) -> str:
    return f'<span class="{answer} key">{_WORDS[answer]}</span>'


def _head(made: Matrix) -> str:
    subjects = "".join(
        f'<th scope="colgroup" colspan="{len(made.places)}">{escape(row.label)}</th>' for row in made.rows
    )
    places = "".join(
        f'<th scope="col"{_last(made, place)}><span>{escape(_images(place))}</span></th>' for place in made.places
    )
    return (
        f'<thead><tr><th class="corner" scope="col" rowspan="2">action or property</th>{subjects}</tr>\n'
        f"<tr>{places * len(made.rows)}</tr></thead>"
    )


def _images(place: Place) -> str:
    return place.label.removesuffix(" any")


def _last(made: Matrix, place: Place) -> str:
    return ' class="last"' if place is made.places[-1] else ""


def _body(made: Matrix, reasons: _Reasons) -> Iterator[str]:
    """Yield a body of the table for each type of resource."""
    from protect.analysis.matrix import kinds_named

    wide = len(made.rows) * len(made.places)
    for kinds, columns in groupby(made.columns, key=lambda column: column.kinds):
        yield (
            f'<tbody><tr><th scope="rowgroup">{escape(kinds_named(kinds))}</th>'
            f'<td class="gap last" colspan="{wide}"></td></tr>'
        )
        for column in _together(columns):
            cells = (
                reasons.cell(row, place, column, made.cells[row, place, column], last=place is made.places[-1])
                for row in made.rows
                for place in made.places
            )
            yield f'<tr><th scope="row">{_named(column)}</th>{"".join(cells)}</tr>'
        yield "</tbody>"


def _together(columns: Iterator[Column]) -> list[Column]:
    """Return what can be done with the same properties one below the other: those that are named come first."""
    found = list(columns)
    of = [(column.topic.names, column.like, column.topic.attribute) for column in found]
    rank = {key: (key[0] is None, not key[1], of.index(key)) for key in of}
    return [column for _, column in sorted(zip(of, found, strict=True), key=lambda pair: rank[pair[0]])]


def _named(column: Column) -> str:
    """Return what a line is about. All names are in the page, so that they are found."""
    from protect.analysis.matrix import ANY_OTHER_ACTION

    topic = column.topic
    if topic.kind != "Property":
        return escape(topic.action or ANY_OTHER_ACTION)
    whole = column.like or ", ".join(sorted(topic.names or ()))
    if whole in column.label and len(column.label) <= _LONG:
        return escape(column.label)
    short = column.label if len(column.label) <= _LONG else f"{column.label[:_LONG]}…"
    return f"<details><summary>{escape(short)}</summary>{escape(whole)}</details>"


@dataclass(slots=True)
class _Reason:
    """One explanation, and the subjects with their kinds of images that it is for."""

    number: int
    holds_for: dict[str, list[str]] = field(default_factory=dict)


class _Reasons:
    """The explanations that cells lead to. Cells with the same one share it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: dict[tuple[str, str, str, str], _Reason] = {}

    def cell(self, row: Row, place: Place, column: Column, cell: Cell, *, last: bool) -> str:
        """Return one cell of the table."""
        word, classes = _WORDS[cell.answer], f"{cell.answer}{' last' if last else ''}"
        if cell.query is None and not cell.condition:
            return f'<td class="{classes}">{word}</td>'
        key = (column.label, str(cell.answer), cell.condition, self._why(column, cell))
        reason = self._known.setdefault(key, _Reason(len(self._known) + 1))
        reason.holds_for.setdefault(row.label, []).append(_images(place))
        return f'<td class="{classes}"><a href="#why-{reason.number}">{word}</a></td>'

    def _why(self, column: Column, cell: Cell) -> str:
        if cell.query is None:
            return ""
        if column.topic.attribute:
            return visible(self._policy.forbidden(cell.query).reason)
        explanation = self._policy.explain(cell.query)
        lines = told(explanation)
        if explanation.rule is not None:
            lines.insert(1, f"  {visible(explanation.rule.head)}")
        return "\n".join(lines)

    def sections(self) -> str:
        """Return all explanations."""
        return "\n".join(self._section(*key, reason) for key, reason in self._known.items())

    def _section(self, label: str, answer: str, condition: str, why: str, reason: _Reason) -> str:
        name = f"why-{reason.number}"
        facts = [(who, ", ".join(images)) for who, images in reason.holds_for.items()]
        if condition:
            facts.append(("why not" if answer == "unclear" else "if", condition))
        told = "".join(f"<dt>{escape(what)}</dt><dd>{escape(said)}</dd>" for what, said in facts)
        shown = {"depends": "depends", "unclear": "cannot be proven"}.get(answer, answer)
        return (
            f'<section class="why" id="{name}" tabindex="-1" aria-labelledby="{name}-of">'
            f'<h2 id="{name}-of">{escape(label)}: <span class="{answer} key">{shown}</span></h2>'
            f'<a href="#-">close</a><dl>{told}</dl>{f"<pre>{html.escape(why)}</pre>" if why else ""}</section>'
        )
