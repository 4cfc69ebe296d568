"""The sign-in form of the chat page: plain HTML, no script, nothing loaded."""

from __future__ import annotations

import html

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>groundup: sign in</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; display: grid; place-items: center; min-height: 100vh; margin: 0; }
form { width: min(22rem, calc(100vw - 3rem)); }
h1 { font-size: 1.25rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; opacity: .75; }
.error { color: #c62828; opacity: 1; }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem .75rem; border-radius: .6rem; }
input { border: 1px solid #8888; margin-bottom: .75rem; }
button { border: 0; background: #0f766e; color: #fff; cursor: pointer; }
</style></head><body><form method="post" action="/sign-in">
<h1>This server needs a key</h1><p>The one it was started with. It is not stored in the browser.</p>MESSAGE
<label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" autofocus required>
<button>Open the chat</button></form></body></html>
"""


def sign_in_page(message: str = "") -> bytes:
    shown = f'<p class="error" role="alert">{html.escape(message)}</p>' if message else ""
    return _PAGE.replace("MESSAGE", shown).encode()
