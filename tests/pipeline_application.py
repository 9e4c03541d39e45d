"""The application that `tests.pipeline_servers` has a server load: the main one of the pipeline file SERVED_INI."""

from __future__ import annotations

import logging
import os

from paste.deploy import loadapp

logging.basicConfig(level=logging.INFO)

if "SERVED_INI" in os.environ:
    application = loadapp(f"config:{os.environ['SERVED_INI']}")
