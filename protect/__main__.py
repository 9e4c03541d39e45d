"""`python -m protect`: the same as the console script."""

from __future__ import annotations

import sys

from protect.cli import main

sys.exit(main())
