"""Who runs it: Prefect over the pipeline that dvc.yaml describes, and over the shards of an extraction.

    reproduce   a flow: one task a DVC stage, in DVC's order; knows DVC, not the stages' code
    extract     a flow: photographs to codes, one task a shard; knows stages.extract, no more
    runners     where shards are worked on: child processes, a Dask cluster, a Ray cluster
    progress    how far an extraction is, as a live artifact
    serve       registers both flows so that they can be started and scheduled from the Prefect UI
    ui          a local Prefect server and `serve` together, until Ctrl-C
    pipeline    what DVC says: stages, what they need, what is stale, what they show
    command     a child process whose lines are streamed and which never outlives the flow
    guard       the small parent of such a child
    publish     metrics, pictures and the summary as Prefect artifacts
    settings    Prefect's environment, set before Prefect is imported

They run from the root of the repository, as DVC does.
"""
