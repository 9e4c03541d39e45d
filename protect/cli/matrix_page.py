"""The matrix as one page of HTML: nothing from the network, readable without scripts, and why on a click.

Whatever comes from a policy is text of somebody else's, and is escaped wherever it stands.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from protect.cli.explain import told
from protect.showing import visible

if TYPE_CHECKING:
    from protect.analysis.matrix import Cell, Column, Matrix
    from protect.policy import Policy

_ALLOWED = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --line: #c9d1db; --soft: #f1f4f8;
  --yes: #0b6b3a; --yes-paper: #dff5e7; --no: #5b6675; --depends: #7a4b00; --depends-paper: #fdf0d2;
  --unclear: #8a1c1c; --unclear-paper: #fbe3e3; --focus: #1a5fd0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5eaf1; --paper: #12161c; --line: #3a4350; --soft: #1b2129;
  --yes: #7fe0a8; --yes-paper: #10351f; --no: #98a3b3; --depends: #f4cd7e; --depends-paper: #3a2b0a;
  --unclear: #ffabab; --unclear-paper: #431818; --focus: #7fb0ff; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1.5rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; }
.wide { overflow: auto; max-height: 80vh; border: 1px solid var(--line); }
table { border-collapse: collapse; } th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: left; }
thead th { position: sticky; top: 0; background: var(--soft); vertical-align: bottom; }
tbody th { position: sticky; left: 0; background: var(--soft); white-space: nowrap; font-weight: 600; }
td a { display: block; color: inherit; text-decoration: none; }
td a:focus-visible, input:focus-visible, select:focus-visible { outline: 3px solid var(--focus); }
.yes { color: var(--yes); background: var(--yes-paper); } .no, .never { color: var(--no); }
.depends { color: var(--depends); background: var(--depends-paper); }
.unclear { color: var(--unclear); background: var(--unclear-paper); }
form { display: flex; gap: 1rem; flex-wrap: wrap; margin: 1rem 0; } form[hidden] { display: none; }
input, select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
  padding: .2rem; }
section.why { border-left: 4px solid var(--line); padding: .2rem 1rem; margin: 1rem 0; }
section.why:target { border-color: var(--focus); background: var(--soft); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
"""

_SCRIPT = """
(function () {
  var form = document.querySelector('form'), table = document.querySelector('table');
  form.hidden = false;
  function shown() {
    var text = form.elements.text.value.toLowerCase(), who = form.elements.who.value, keep = {};
    table.querySelectorAll('thead th').forEach(function (head, index) {
      keep[index] = index === 0 || head.textContent.toLowerCase().indexOf(text) >= 0;
      head.hidden = !keep[index];
    });
    table.querySelectorAll('tbody tr').forEach(function (line) {
      line.hidden = who !== '' && line.dataset.who !== who;
      Array.prototype.forEach.call(line.children, function (cell, index) { cell.hidden = !keep[index]; });
    });
  }
  form.addEventListener('input', shown);
  form.addEventListener('submit', function (event) { event.preventDefault(); });
})();
"""


def page(made: Matrix, policy: Policy) -> str:
    """Return the page."""
    reasons = _Reasons(policy)
    body = [
        f'<tr data-who="{escape(row.label)}"><th scope="row">{escape(row.label)}; {escape(place.label)}</th>'
        + "".join(reasons.cell(column, made.cells[row, place, column]) for column in made.columns)
        + "</tr>"
        for row in made.rows
        for place in made.places
    ]
    heads = "".join(f'<th scope="col">{escape(column.label)}</th>' for column in made.columns)
    options = "".join(f'<option value="{escape(row.label)}">{escape(row.label)}</option>' for row in made.rows)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">
<title>Who may do what</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Who may do what</h1>
<p>Policy revision <code>{escape(policy.revision)}</code>. Down: the subject's role, and whose image it is. Across: what
it wants to do. <em>yes</em> and <em>no</em> hold for all such requests; each leads to an example and the reason.</p>
<form hidden>
<label>Actions and properties with <input type="search" name="text"></label>
<label>Subject <select name="who"><option value="">all</option>{options}</select></label>
</form>
<div class="wide" tabindex="0" role="region" aria-label="The matrix">
<table>
<thead><tr><th scope="col">subject; image</th>{heads}</tr></thead>
<tbody>
{chr(10).join(body)}
</tbody>
</table>
</div>
<h2>Why</h2>
{reasons.sections()}
<script>{_SCRIPT}</script>
</body>
</html>
"""


def escape(said: str) -> str:
    """Return text of somebody else's for the page: it is no markup, and hides nothing."""
    return html.escape(visible(said))


class _Reasons:
    """The explanations that cells lead to. Cells with the same one share it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._numbers: dict[tuple[str, str], int] = {}

    def cell(self, column: Column, cell: Cell) -> str:
        """Return one cell of the table."""
        word = escape(cell.answer)
        if cell.query is None:
            return f'<td class="{word}">{word}</td>'
        number = self._numbers.setdefault(
            (
                f"{column.label}: {cell.answer}" + (f", if {cell.condition}" if cell.condition else ""),
                self._why(column, cell),
            ),
            len(self._numbers) + 1,
        )
        return f'<td class="{word}"><a href="#why-{number}">{word}</a></td>'

    def _why(self, column: Column, cell: Cell) -> str:
        assert cell.query is not None
        if column.topic.attribute:
            return visible(self._policy.forbidden(cell.query).reason)
        return "\n".join(told(self._policy.explain(cell.query)))

    def sections(self) -> str:
        """Return all explanations."""
        return "\n".join(
            f'<section class="why" id="why-{number}"><h3>{escape(head)}</h3><pre>{html.escape(text)}</pre></section>'
            for (head, text), number in self._numbers.items()
        )
