"""Defaults of Prefect, DVC, Dask and Ray for a quiet, local, offline run; variables that are already set win.

Import it before prefect, which reads its environment when it is imported.
"""

from __future__ import annotations

import os

DEFAULTS = {
    # No telemetry leaves the machine, and no "failed to send telemetry" appears in the log of an offline run.
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_CLI_PROMPT": "false",
    # The first start of a server creates its database: 18 s on two idle cores, and Prefect's own limit is 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # Messages of the library (a damaged shard, a slow fallback) appear in the log of the run too.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "ganvert",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # Warnings only, not every connection of every worker; Ray sends no usage statistics.
    "DASK_LOGGING__DISTRIBUTED": "warning",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Stages use every core, so they run one at a time; raise it to let independent stages overlap.
    "PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS": "1",
}

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
