"""Checks of policy files: ``run.lint`` is a run, ``catalogue`` what is looked for, ``reports`` how it is told."""
