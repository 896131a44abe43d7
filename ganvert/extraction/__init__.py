"""Any number of pictures through a job (align, invert, score), in shards that are never computed twice.

The package may import `training` and what lies below.
"""

from ganvert.extraction.assemble import assemble, outputs_of, write_sample
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
    "default_workers",
    "extract",
    "make_job",
    "outputs_of",
    "plan",
    "run_shard",
    "write_sample",
]
