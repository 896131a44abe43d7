"""Defaults of Prefect, DVC, Dask and Ray for a quiet, private, offline run; variables that are already set win.

Import it before prefect, which reads its environment when it is imported. It also makes Prefect's folder private, and
settles the secret of the server that this process starts or joins (`flows.secret`).
"""

from __future__ import annotations

import os
import sys

from flows import secret

DEFAULTS = {
    # No telemetry leaves the machine, and no "failed to send telemetry" appears in the log of an offline run.
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_CLI_PROMPT": "false",
    # A page of another origin may neither read answers (by default every origin may) nor send requests.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    # The first start of a server creates its database: 18 s on two idle cores, and Prefect's own limit is 20.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # Messages of the library (a damaged shard, a slow fallback) appear in the log of the run too.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "ganvert",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # Warnings only, not every connection of every worker; Ray sends no usage statistics.
    "DASK_LOGGING__DISTRIBUTED": "warning",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The web servers of Dask's schedulers and workers have no pages: any user of the machine could read them.
    "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "[]",
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
    # Stages use every core, so they run one at a time; raise it to let independent stages overlap.
    "PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS": "1",
}

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
for _name in ("no_proxy", "NO_PROXY"):  # a proxy for the internet gets no request to this machine, nor its secret
    if "127.0.0.1" not in (_hosts := os.environ.get(_name, "")).split(","):
        os.environ[_name] = ",".join([*filter(None, [_hosts]), "127.0.0.1"])
try:
    secret.make_private()
    secret.settle()
except (OSError, RuntimeError) as error:  # RuntimeError: no HOME, and a user without an entry in passwd
    sys.exit(f"flows: Prefect's folder: {error}; set PREFECT_HOME to a folder of your own")
