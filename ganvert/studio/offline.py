"""Gradio, imported with everything off that would ask other machines."""

from __future__ import annotations

import os

# Before gradio is imported, which reads them: nothing is sent anywhere, and its temporary files are not used.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_CHECK_VERSION"] = "False"

import gradio as gr

__all__ = ["gr"]
