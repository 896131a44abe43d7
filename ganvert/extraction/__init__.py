"""Inverts any number of photographs: every command and stage that inverts photographs to tables calls :func:`extract`.

A job (align, invert, score) goes over the pictures of some inputs in shards, which are stored as they are done and
never computed twice. The package may import `training` and what lies below.
"""

from ganvert.extraction.assemble import assemble, check_codes, outputs_of, stored_rows, write_sample
from ganvert.extraction.job import Invert, Job, Keep, make_job
from ganvert.extraction.pool import Pool, default_workers
from ganvert.extraction.run import Extraction, extract
from ganvert.extraction.shards import Plan, Shard, plan
from ganvert.extraction.worker import ShardResult, run_shard

__all__ = [
    "Extraction",
    "Invert",
    "Job",
    "Keep",
    "Plan",
    "Pool",
    "Shard",
    "ShardResult",
    "assemble",
    "check_codes",
    "default_workers",
    "extract",
    "make_job",
    "outputs_of",
    "plan",
    "run_shard",
    "stored_rows",
    "write_sample",
]
