"""Prefect flows that run the pipeline described by dvc.yaml, and the shards of an extraction.

    reproduce   a flow: one task per DVC stage, in DVC's order; knows DVC, not the stages' code
    extract     a flow: photographs to codes, one task per shard; knows stages.extract and nothing else
    study       a flow: the study of params.yaml, its inversions by the runners of `extract`
    runners     where shards are computed: child processes, a Dask cluster, a Ray cluster
    progress    progress of an extraction, as a live artifact
    serve       registers both flows so that they can be started and scheduled from the Prefect UI
    folders     which folders the runs of a served flow may use
    server      Prefect's server for one user: a secret, its own address and its own pages only
    secret      that secret, and the private folder that Prefect works in
    ui          `server` and `serve` together, until Ctrl-C
    pipeline    what DVC knows: stages, their dependencies, which are stale, their metrics and plots
    command     a child process whose lines are streamed and which never outlives the flow
    guard       the small parent process of such a child
    mend        removes files of DVC's own that a kill cut off
    publish     metrics, pictures and the summary as Prefect artifacts
    settings    Prefect's environment, set before Prefect is imported

They run from the root of the repository, as DVC does.
"""
