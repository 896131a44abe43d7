"""Who runs it: Prefect over the pipeline that dvc.yaml describes. Knows DVC, never the library or the stages' code.

    reproduce   the flow: one task a DVC stage, in DVC's order
    serve       registers the flow so that it can be started and scheduled from the Prefect UI
    ui          a local Prefect server and `serve` together, until Ctrl-C
    pipeline    what DVC says: stages, what they need, what is stale, what they show
    command     a child process whose lines are streamed and which never outlives the flow
    guard       the small parent of such a child
    publish     metrics, pictures and the summary as Prefect artifacts
    settings    Prefect's environment, set before Prefect is imported

They run from the root of the repository, as DVC does.
"""
