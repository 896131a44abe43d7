"""The page: Gradio's sliders, tabs and queue around what the page's own script draws, and what each control does."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import itertools
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ganvert.base.errors import GanvertError
from ganvert.studio.changes import LIMIT, Changes
from ganvert.studio.session import Session, Sessions
from ganvert.studio.view import refinement_of, view_of

# Before gradio is imported, which reads them: nothing is sent anywhere, and its temporary files are not used.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_CHECK_VERSION"] = "False"

import gradio as gr

__all__ = ["Page", "make_page"]

_TICK = 0.8  # seconds between two looks at an inversion that runs
_LADDER = ("fast", "balanced", "best")
_SHOW = "(view) => { ganvert.show(view); }"
_REGIONS = ("square", "face", "head")
log = logging.getLogger(__name__)
View = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Page:
    """Gradio's blocks, and how they look."""

    blocks: gr.Blocks
    looks: Mapping[str, Any]


class _Handlers:
    """What the controls do. Each takes the token of a session and returns its view; errors become sentences."""

    def __init__(self, sessions: Sessions, samples: Mapping[str, Path], sliders: list[str]) -> None:
        self.sessions, self.samples, self.sliders = sessions, samples, sliders
        self.numbers = itertools.count()

    def view(self, session: Session, **more: Any) -> View:
        # Numbered, so that an answer which changes nothing is an answer too.
        return {"number": next(self.numbers), **view_of(session, samples=list(self.samples), **more)}

    def guarded(self, token: Any, work: Callable[[Session], Mapping[str, Any] | None]) -> View:
        """Do something for a session; return its view, with a sentence where it failed."""
        session = self.sessions.of(token)
        try:
            return self.view(session, **(work(session) or {}))
        except GanvertError as error:
            message = str(error)
        except Exception as error:
            log.exception("studio: %s", type(error).__name__)
            message = f"{type(error).__name__}: {error}; the terminal says more"
        try:
            return self.view(session, message=message, wrong=True)
        except GanvertError:  # the picture itself cannot be drawn: what is on the page stays there
            return {"partial": True, "message": message, "wrong": True, "refinement": refinement_of(session)}

    def load(self, token: Any) -> tuple[Any, ...]:
        session = self.sessions.of(token)
        view = self.guarded(session.token, lambda session: None)
        return session.token, view, *self.values(session), self.timer(session)

    def timer(self, session: Session) -> gr.Timer:
        """Return the clock of the page, which runs while an inversion does."""
        return gr.Timer(active=session.refinement is not None and session.refinement.active)

    def values(self, session: Session) -> list[float]:
        """Return where the sliders stand."""
        return [session.history.now.amount_of(name) for name in self.sliders]

    def act(self, token: Any, method: str, other: str | None, event: gr.EventData) -> tuple[Any, ...]:
        """Do what a button of the script asks for."""
        asked = dict(event._data or {})
        view = self.guarded(token, lambda session: self._done(session, asked, method))
        session = self.sessions.of(token)
        return view, *self.values(session), session.history.now.amount_of(other or ""), self.timer(session)

    def _done(self, session: Session, asked: Mapping[str, Any], method: str) -> Mapping[str, Any] | None:
        what, history, direction = asked.get("what"), session.history, str(asked.get("direction", ""))
        if what == "look":
            return None
        if what in ("open", "sample"):
            name = str(asked.get("name", "photograph"))
            if what == "sample":
                session.inbox = self.samples[name].read_bytes() if name in self.samples else None
            return self.opened(session, name, method)
        if what == "method":
            session.show_method(str(asked.get("method")))
        elif what == "face":
            session.choose(int(asked["face"]))
            session.refine(method)
        elif what == "cancel" and session.refinement is not None:
            session.end()
        elif what == "undo":
            history.undo()
        elif what == "redo":
            history.redo()
        elif what == "go":
            history.go(int(asked["place"]))
        elif what == "reset":
            history.add(Changes())
        elif what in ("delete", "mute", "up"):
            change = {"delete": Changes.without, "mute": Changes.toggled, "up": Changes.moved_up}[what]
            history.add(change(history.now, direction))
        session.pasted_name = None
        return None

    def opened(self, session: Session, name: str, method: str) -> Mapping[str, Any] | None:
        """Take the photograph that was sent, show the encoder's picture, and begin to refine it."""
        data, session.inbox = session.inbox, None
        if data is None:
            return {"message": "The photograph did not arrive; send it again.", "wrong": True}
        session.open(data, name)
        session.refine(method)
        return None

    def refine(self, token: Any, method: str | None) -> tuple[View, gr.Timer]:
        """Begin to refine the face by another method; without a photograph it is the one for the next."""
        view = self.guarded(token, lambda session: session.refine(method) if method and session.codes else None)
        return view, self.timer(self.sessions.of(token))

    def preview(self, direction: str, token: Any, amount: float) -> View:
        """Draw a small picture while a slider moves."""
        session = self.sessions.of(token)
        if not session.codes:
            return self.view(session)
        try:
            shown = session.pictures.show(session.preview(direction, amount))
            title = session.history.now.with_amount(direction, amount).title
            return {"preview": True, "after": shown, "title": title}
        except GanvertError as error:
            return {"preview": True, "message": str(error), "wrong": True}

    def release(self, direction: str, token: Any, amount: float) -> View:
        """Draw the full picture of where a slider was let go, as a new state of the history."""

        def work(session: Session) -> None:
            if session.codes:
                changes = session.history.now.with_amount(direction, amount)
                session.picture(changes)  # what cannot be drawn is no state of the history
                session.history.add(changes)
                session.pasted_name = None

        return self.guarded(token, work)

    def tick(self, token: Any) -> tuple[View, gr.Timer]:
        """Look at the inversion that runs. Where it still does, the picture on the page stays as it is."""
        session = self.sessions.of(token)
        job = session.refinement
        if job is not None and job.active:
            view = {"partial": True, "refinement": refinement_of(session)}
        else:
            view = self.guarded(token, lambda session: None)
        return view, self.timer(session)

    def paste(self, token: Any, region: str) -> View:
        """Put the edited face back into the photograph."""

        def work(session: Session) -> Mapping[str, Any] | None:
            pasted = session.pasted(region)
            session.pasted_name = session.pictures.show(pasted.image, 1600)
            return {"message": pasted.reason} if pasted.reason else None

        return self.guarded(token, work)

    def save(self, whole: bool, token: Any, region: str) -> View:
        """Download the crop, or the whole photograph with the edit in it, as PNG with its provenance."""

        def work(session: Session) -> Mapping[str, Any]:
            picture = session.pasted(region).image if whole else session.picture()
            stem = Path(session.opened.name if session.opened else "picture").stem
            name = f"{stem}_{session.history.now.title.replace(', ', '_').replace(' ', '')}.png"
            return {"download": {"picture": session.pictures.add("image/png", session.png(picture)), "name": name}}

        return self.guarded(token, work)

    def check(self, token: Any) -> View:
        """Look whether the person is lost, and whether pasting back will show ghosts."""
        session = self.sessions.of(token)
        try:
            badge = session.check().badge if session.codes and session.history.now.amounts else ""
            return {"partial": True, "badge": badge}
        except GanvertError as error:
            return {"partial": True, "message": str(error), "wrong": True}

    def measure(self, token: Any) -> View:
        """Measure the picture and its unedited one."""

        def work(session: Session) -> None:
            session.measure()

        return self.guarded(token, work)

    def block(self, token: Any, region: str) -> tuple[View, str]:
        """Return the edit as a block for params.yaml."""
        text = ""

        def work(session: Session) -> None:
            nonlocal text
            text = session.params(region)

        return self.guarded(token, work), text


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
    handlers = _Handlers(sessions, samples, named)
    with gr.Blocks(title="ganvert studio", analytics_enabled=False, fill_width=True) as blocks:
        token = gr.BrowserState("", storage_key="ganvert-studio", secret="ganvert-studio")
        view = gr.JSON(visible="hidden")
        timer = gr.Timer(_TICK, active=False)
        view.change(None, view, None, js=_SHOW)
        with gr.Row():
            with gr.Column(scale=6, elem_id="g-left"):
                stage = gr.HTML(
                    '<div data-slot="message"></div><div data-slot="stage"></div>'
                    '<div data-slot="state"></div><div data-slot="history"></div>',
                    js_on_load="ganvert.start(element, (data) => trigger('act', data))",
                )
            with gr.Column(scale=4), gr.Tabs():
                controls = _Controls.place(sessions, named, numbered)
        _connect(handlers, controls, stage, token, view, timer)
        outputs = [token, view, *controls.sliders.values(), timer]
        loaded = blocks.load(handlers.load, token, outputs, show_progress="hidden")
        loaded.then(None, view, None, js=_SHOW)  # a change while the page is being built goes unnoticed
    return Page(blocks, _looks())


@dataclasses.dataclass(frozen=True)
class _Controls:
    """Gradio's components on the right of the picture."""

    method: gr.Radio
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
            ladder = [name for name in _LADDER if name in [*presets]]
            described = [(f"{name}: {presets.resolve(name).description}", name) for name in ladder]
            placed["method"] = gr.Radio(
                described or [(sessions.models.first, sessions.models.first)],
                value="balanced" if "balanced" in ladder else sessions.models.first,
                label="Quality",
                elem_id="g-quality",
                info="The first picture takes one pass of an encoder. It is then refined in the background by this.",
            )
            with gr.Accordion("All methods", open=False):
                placed["every"] = gr.Dropdown(
                    [*presets], value=None, label="Preset", info="Refine by any preset that suits this generator."
                )
        with gr.Tab("Edit"):
            placed["sliders"] = {name: _slider(name.replace("_", " ")) for name in named}
            with gr.Accordion("More directions", open=not named):
                placed["other"] = gr.Dropdown(
                    numbered, value=numbered[0] if numbered else None, label="Direction", interactive=True,
                    info="Components of GANSpace, SeFa and other decompositions have numbers for names.",
                )  # fmt: skip
                placed["amount"] = _slider("amount of this direction")
            _slot("changes")
        with gr.Tab("Effects"):
            gr.Markdown("What else an edit changed: every score of the edited picture against the unedited one.")
            placed["measure"] = gr.Button("Measure this edit")
            _slot("effects")
        with gr.Tab("Keep"):
            placed["region"] = gr.Radio(
                _REGIONS,
                value="square",
                label="Region",
                info="What is put back: the square crop, the face, or the head.",
            )
            placed["paste"] = gr.Button("Paste into the photograph")
            _slot("pasted")
            gr.Markdown("PNG files say in their metadata how they were made: generator, method, edits, version.")
            placed["save_crop"] = gr.Button("Download the edited face")
            placed["save_whole"] = gr.Button("Download the whole photograph")
            placed["block"] = gr.Button("Show the edit as a block for params.yaml")
            placed["code"] = gr.Code(label="params.yaml", language="yaml", interactive=False)
        return cls(**placed)


def _slider(label: str) -> gr.Slider:
    return gr.Slider(
        -LIMIT,
        LIMIT,
        0,
        step=0.1,
        label=label,
        info="Standard deviations; beyond 3 faces leave the population.",
        buttons=[],  # Gradio's own button to reset one draws no picture
    )


def _connect(
    handlers: _Handlers, controls: _Controls, stage: gr.HTML, token: gr.BrowserState, view: gr.JSON, timer: gr.Timer
) -> None:
    """Say what each control does. What computes takes turns; a look at what runs does not wait for it."""
    # A slider that is let go twice in a row counts the second time, and two clicks on Undo are two.
    turn: dict[str, Any] = {"concurrency_id": "compute", "concurrency_limit": 1, "show_progress": "hidden"}
    free: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
    measures: dict[str, Any] = {"concurrency_id": "measure", "concurrency_limit": 1, "show_progress": "hidden"}
    sliders = list(controls.sliders.values())
    stage.act(
        handlers.act,
        [token, controls.method, controls.other],
        [view, *sliders, controls.amount, timer],
        trigger_mode="multiple",
        **turn,
    )
    timer.tick(handlers.tick, token, [view, timer], **free)
    for chooser in (controls.method, controls.every):
        chooser.input(handlers.refine, [token, chooser], [view, timer], **turn)
    for name, slider in controls.sliders.items():
        moved = functools.partial(handlers.preview, name)
        slider.input(moved, [token, slider], view, trigger_mode="always_last", **turn)
        release = functools.partial(handlers.release, name)
        drawn = slider.release(release, [token, slider], view, trigger_mode="always_last", **turn)
        drawn.then(handlers.check, token, view, **measures)
    other = [controls.other, token, controls.amount]
    controls.amount.input(handlers.preview, other, view, trigger_mode="always_last", **turn)
    drawn = controls.amount.release(handlers.release, other, view, trigger_mode="always_last", **turn)
    drawn.then(handlers.check, token, view, **measures)
    controls.other.input(
        lambda name, key: handlers.sessions.of(key).history.now.amount_of(name),
        [controls.other, token],
        controls.amount,
        **free,
    )
    controls.measure.click(handlers.measure, token, view, **measures)
    controls.paste.click(handlers.paste, [token, controls.region], view, **turn)
    controls.save_crop.click(functools.partial(handlers.save, False), [token, controls.region], view, **turn)
    controls.save_whole.click(functools.partial(handlers.save, True), [token, controls.region], view, **turn)
    controls.block.click(handlers.block, [token, controls.region], [view, controls.code], **turn)


def _looks() -> dict[str, Any]:
    """Return how the page looks: fonts of the system, our own style and script, and nothing from elsewhere."""
    files = importlib.resources.files("ganvert.studio")
    fonts = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"])
    return {
        "theme": theme,
        "css": files.joinpath("style.css").read_text(encoding="utf-8"),
        "head": f"<script>{files.joinpath('script.js').read_text(encoding='utf-8')}</script>",
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "show_error": True,
        "enable_monitoring": False,
        "max_file_size": 0,
        "app_kwargs": {"docs_url": None, "redoc_url": None, "openapi_url": None},
    }
