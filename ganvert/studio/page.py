"""The page: Gradio's sliders, tabs and queue around what the page's own scripts draw."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib.resources
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from ganvert.studio.handlers import Handlers
from ganvert.studio.models import Models
from ganvert.studio.offline import gr
from ganvert.studio.session import Sessions

__all__ = ["Page", "make_page"]

_HELD = 10.0  # seconds after which the event of a page that was closed is found to be over
_TICK = 0.8  # seconds between two looks at what runs in the background
_LOOK = 0.02  # seconds between two looks of Gradio at its queue; its own 0.001 takes 5 % of a core from an idle studio
_SHOW = "(view) => { ganvert.show(view); }"
_ASKS = ["g-asks"]  # Gradio's controls whose answer is a view: the script asks again where it gets lost
_UNTESTED = "Not tested: it goes to 4 standard deviations of the generator's faces."
_REGIONS = ("square", "face", "head")


@dataclasses.dataclass(frozen=True)
class Page:
    """Gradio's blocks, how they look, what the controls do, and whether the server is ending."""

    blocks: gr.Blocks
    looks: Mapping[str, Any]
    handlers: Handlers
    ending: asyncio.Event


def _slot(*names: str) -> gr.HTML:
    """Place what the script draws."""
    inside = "".join(f'<div data-slot="{name}"></div>' for name in names)
    return gr.HTML(inside, js_on_load="ganvert.mount(element)")


def make_page(sessions: Sessions, samples: Mapping[str, Path]) -> Page:
    """Return the page.

    Args:
        sessions: of all its users.
        samples: name to sample photograph.
    """
    named, numbered = sessions.models.directions
    handlers, ending = Handlers(sessions, samples, named), asyncio.Event()
    with gr.Blocks(title="ganvert studio", analytics_enabled=False, fill_width=True) as blocks:
        token = gr.BrowserState("", storage_key="ganvert-studio", secret="ganvert-studio")
        answers = _Answers.place()
        timer = gr.Timer(_TICK, active=False)
        with gr.Row(elem_id="g-main"):
            with gr.Column(scale=6, elem_id="g-left"):
                stage = gr.HTML(
                    '<div data-slot="message"></div><div data-slot="stage"></div>',
                    js_on_load="ganvert.start(element, (data) => trigger('act', data))",
                )
            with gr.Column(scale=6, elem_id="g-below"):
                _slot("state", "history")
            with gr.Column(scale=4, elem_id="g-right"), gr.Tabs():
                controls = _Controls.place(sessions, named, numbered)
        _connect(handlers, controls, stage, token, answers, timer)
        outputs = [token, answers.done, *controls.sliders.values(), timer]
        loaded = blocks.load(handlers.load, token, outputs, show_progress="hidden")
        loaded.then(None, answers.done, None, js=_SHOW)  # a change while the page is being built goes unnoticed
        blocks.load(_hold(ending), None, None, concurrency_limit=None, show_progress="hidden")
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = _LOOK
    return Page(blocks, _looks(), handlers, ending)


def _hold(ending: asyncio.Event) -> Callable[[], AsyncIterator[None]]:
    """Return an event that lasts until the server ends, so that Gradio's stream of answers stays open with the page.

    The server closes a stream that has nothing more to say. What a page asks in that moment it takes to be answered by
    the stream that is being closed, and its answer would have nobody who reads it.
    """

    async def hold() -> AsyncIterator[None]:
        while not ending.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ending.wait(), _HELD)
            yield

    return hold


@dataclasses.dataclass(frozen=True)
class _Answers:
    """Hidden components that carry views to the script, one for each kind of event.

    A component that is written twice before the page has looked shows the second value alone: were there one for all,
    a look at what runs would swallow the answer to a click.

    Attributes:
        done: what a control did.
        ticked: how far the work in the background is.
        checked: what was found out about a picture.
    """

    done: gr.JSON
    ticked: gr.JSON
    checked: gr.JSON

    @classmethod
    def place(cls) -> _Answers:
        placed = cls(*(gr.JSON(visible="hidden") for _ in range(3)))
        for answer in (placed.done, placed.ticked, placed.checked):
            answer.change(None, answer, None, js=_SHOW)
        return placed


@dataclasses.dataclass(frozen=True)
class _Controls:
    """Gradio's components on the right of the picture."""

    every: gr.Dropdown
    sliders: dict[str, gr.Slider]
    other: gr.Dropdown
    amount: gr.Slider
    measure: gr.Button
    region: gr.Radio
    paste: gr.Button
    save_crop: gr.Button
    save_whole: gr.Button
    block: gr.Button
    code: gr.Code

    @classmethod
    def place(cls, sessions: Sessions, named: list[str], numbered: list[str]) -> _Controls:
        """Place the tabs."""
        placed: dict[str, Any] = {}
        presets = sessions.models.presets
        with gr.Tab("Photograph"):
            _slot("photograph")
            _slot("quality")
            with gr.Accordion("All methods", open=False):
                placed["every"] = gr.Dropdown(
                    [*presets], value=None, label="Method", info="Refine by any method that suits this generator."
                )
        with gr.Tab("Edit"):
            gr.Markdown(
                "A slider moves the face one way or the other; 0 is the unedited picture. Each goes as far as its "
                "direction was tested. The list below the sliders says where an edit takes the face among the "
                "generator's faces."
            )
            placed["sliders"] = {name: _slider(sessions.models, name) for name in named}
            with gr.Accordion("More directions", open=not named):
                placed["other"] = gr.Dropdown(
                    numbered, value=numbered[0] if numbered else None, label="Direction", interactive=True,
                    elem_id="g-other",
                    info="Components of GANSpace, SeFa and other decompositions have numbers for names.",
                )  # fmt: skip
                placed["amount"] = _slider(sessions.models, "", numbered[0] if numbered else None)
            _slot("changes", "amounts")
        with gr.Tab("Compare"):
            gr.Markdown("What else an edit changed: every score of the edited picture against the unedited one.")
            placed["measure"] = gr.Button("Measure this edit", elem_classes=_ASKS)
            _slot("effects", "compare")
        with gr.Tab("People"):
            _slot("people")
        with gr.Tab("Keep"):
            placed["region"] = gr.Radio(
                _REGIONS,
                value="square",
                label="Region",
                elem_id="g-region",
                info="What is put back: the square crop, the face, or the head.",
            )
            placed["paste"] = gr.Button("Paste into the photograph", elem_classes=_ASKS)
            _slot("pasted")
            gr.Markdown("PNG files say in their metadata how they were made: generator, method, edits, version.")
            placed["save_crop"] = gr.Button("Download the edited face", elem_classes=_ASKS)
            placed["save_whole"] = gr.Button("Download the whole photograph", elem_classes=_ASKS)
            placed["block"] = gr.Button("Show the edit as a block for params.yaml", elem_classes=_ASKS)
            placed["code"] = gr.Code(
                label="params.yaml",
                language="yaml",
                interactive=False,
                wrap_lines=True,
                show_line_numbers=False,
                visible=False,
            )
            _slot("keep")
        with gr.Tab("Stimuli"):
            _slot("stimuli")
        return cls(**placed)


def _slider(models: Models, name: str, chosen: str | None = None) -> gr.Slider:
    """Place the slider of a direction; for an empty name of the one that is chosen beside it, which is `chosen` now."""
    moved = name or chosen
    tested = moved is None or models.in_w(moved).tested is not None
    return gr.Slider(
        *(models.reach(moved) if moved else (-1.0, 1.0)),
        0,
        step=0.1,
        label=name.replace("_", " ") or "amount of this direction",
        info=None if tested else _UNTESTED,
        buttons=[],  # Gradio's own button to reset one draws no picture
        elem_id=f"g-move-{name}",  # the script asks for previews by it
        elem_classes=_ASKS,
    )


def _connect(
    handlers: Handlers,
    controls: _Controls,
    stage: gr.HTML,
    token: gr.BrowserState,
    answers: _Answers,
    timer: gr.Timer,
) -> None:
    """Say what each control does. What computes takes turns; a look at what runs does not wait for it."""
    # A slider that is let go twice in a row counts the second time, and two clicks on Undo are two. What lost its
    # answer is pending for good, and in any other mode Gradio would ignore the next ones.
    again: dict[str, Any] = {"trigger_mode": "multiple"}
    turn: dict[str, Any] = {"concurrency_id": "compute", "concurrency_limit": 1, "show_progress": "hidden"}
    free: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
    measures: dict[str, Any] = {"concurrency_id": "measure", "concurrency_limit": 1, "show_progress": "hidden"}
    sliders, view = list(controls.sliders.values()), answers.done
    acted = stage.act(
        handlers.act,
        [token, controls.other],
        [view, *sliders, controls.amount, timer],
        **again,
        **turn,
    )
    acted.then(handlers.check, token, answers.checked, **measures)
    timer.tick(handlers.tick, token, [answers.ticked, timer, *sliders], **free)
    controls.every.input(handlers.refine, [token, controls.every], [view, timer], **turn)
    for name, slider in controls.sliders.items():
        release = functools.partial(handlers.release, name)
        drawn = slider.release(release, [token, slider], view, **again, **turn)
        drawn.then(handlers.check, token, answers.checked, **measures)
    other = [controls.other, token, controls.amount]
    drawn = controls.amount.release(handlers.release, other, view, **again, **turn)
    drawn.then(handlers.check, token, answers.checked, **measures)
    controls.other.input(handlers.other, [token, controls.other], controls.amount, **free)
    controls.measure.click(handlers.measure, token, view, **again, **measures)
    controls.paste.click(handlers.paste, [token, controls.region], view, **again, **turn)
    controls.save_crop.click(functools.partial(handlers.save, False), [token, controls.region], view, **again, **turn)
    controls.save_whole.click(functools.partial(handlers.save, True), [token, controls.region], view, **again, **turn)
    controls.block.click(handlers.block, [token, controls.region], [view, controls.code], **again, **turn)


def _looks() -> dict[str, Any]:
    """Return how the page looks: fonts of the system, our own style and script, and nothing from elsewhere."""
    files = importlib.resources.files("ganvert.studio")
    fonts = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"]).set(
        # Gradio's own grey of helping texts is hard to read.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
    )
    return {
        "theme": theme,
        "css": files.joinpath("style.css").read_text(encoding="utf-8"),
        "head": "".join(
            f"<script>{files.joinpath(name).read_text(encoding='utf-8')}</script>"
            for name in ("script.js", "panels.js")
        ),
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "show_error": True,
        "enable_monitoring": False,
        "max_file_size": 0,
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
    }
