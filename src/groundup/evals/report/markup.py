"""Text and sections of the report's page. Everything from a run is escaped here: generated text is hostile input."""

from __future__ import annotations

from html import escape
from typing import Any


def text_of(value: Any) -> str:
    """Escaped, with control characters (which HTML does not allow) shown as their pictures."""
    raw = str(value)
    kept = "".join(c if c in "\n\t" or (ord(c) >= 32 and ord(c) != 127) else "\ufffd" for c in raw)
    return escape(kept, quote=True)


def section(title: str, body: str, intro: str = "") -> str:
    lead = f'<p class="soft">{intro}</p>' if intro else ""
    return f"<section><h2>{title}</h2>{lead}{body}</section>" if body else ""
