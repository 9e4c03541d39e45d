"""Names that the compiler writes into the text which Oso gets; no policy may use them."""

from __future__ import annotations

from typing import Final

#: The name under which rules report that they decided.
MARK: Final = "_protect_rule"

#: `Resource` is a built-in specializer of Polar, so the source handed to Oso says this instead (of the same length).
RESOURCE_ALIAS: Final = "Resourc_"
