"""A server in a process of its own, for tests that need one: `python tests/serve_small.py MODE`. Prints its URL as JSON.

markov: the small generator. plain: it without chat. hostile: it, until it is asked to attack the page. engine: the real
engine over a small random decoder. held: makes a token only when a line arrives on standard input.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence

from groundup.core.protocols import Generator
from groundup.core.types import Chunk, Request, Usage
from groundup.server import ServerConfig, read_api_key, serve
from small_generator import MarkovGenerator

HOSTILE = (
    "Plain text first. <script>window.__owned = 1</script><img src=x onerror='window.__owned = 2'>"
    "<img src='http://evil.example/beacon.png'>![pixel](http://evil.example/pixel.png) [link](javascript:window.__owned=3)"
    " {{ constructor.constructor('window.__owned = 4')() }} <svg/onload=window.__owned=5> </script></template>`${1}`"
    "<iframe srcdoc='<script>parent.__owned=6</script>'></iframe>\x1b[31m\u202e\n"
    "```html\n<script>window.__owned = 7</script>\n```\nThe end. 日本語 🦊"
)


HOSTILE_WORD = "attack"


class HostileGenerator(MarkovGenerator):
    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        if HOSTILE_WORD not in self._prompt(requests[0]):
            yield from super().generate(requests)
            return
        for i in range(0, len(HOSTILE), 7):
            yield 0, Chunk(text=HOSTILE[i : i + 7], token_ids=(i,))
        yield 0, Chunk(finish_reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=len(HOSTILE) // 7))


def held() -> Generator:
    permits = threading.Semaphore(0)

    def release() -> None:
        for line in sys.stdin:
            permits.release(int(line))

    threading.Thread(target=release, daemon=True).start()
    return MarkovGenerator(permits=permits)


def engine() -> Generator:
    from small_engine import small_engine

    return small_engine()


MODES = {
    "markov": MarkovGenerator,
    "plain": lambda: MarkovGenerator(chat=False),
    "hostile": HostileGenerator,
    "held": held,
    "engine": engine,
}

if __name__ == "__main__":
    mode, page = sys.argv[1], "--no-page" not in sys.argv
    grace = float(sys.argv[sys.argv.index("--grace") + 1]) if "--grace" in sys.argv else 20.0
    serve(
        MODES[mode](),
        ServerConfig(port=0, api_key=read_api_key(), chat_page=page, shutdown_grace_seconds=grace),
        on_ready=lambda url: print(json.dumps({"url": url}), flush=True),
    )
    print(json.dumps({"ended": True}), flush=True)
