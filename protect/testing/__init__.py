"""Tests of a policy: what it must answer, written beside it in YAML, and how good those tests are.

``suites.Suite`` is what one file says, ``reading.read`` makes it; ``running.run`` asks the policy; ``coverage`` says
which rules no test reaches, and ``mutations`` changes the policy to see whether a test notices.
"""

from __future__ import annotations
