"""Which letters on a page are hard to read: contrast below WCAG 2.2 AA (4.5, or 3 for large letters), worked out in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_SCRIPT = r"""() => {
  const parsed = (colour) => { const n = colour.match(/[\d.]+/g).map(Number); return [n[0], n[1], n[2], n.length > 3 ? n[3] : 1]; };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const text = nodes.currentNode.textContent.trim();
    const element = nodes.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    // Disabled controls, and icons (which are a font's ligatures), are exempt.
    if (!text || !box.width || !box.height || style.visibility === "hidden" || element.closest("[disabled], .disabled, script, style, .q-icon"))
      continue;
    let opacity = 1;
    const backgrounds = [];
    for (let at = element; at; at = at.parentElement) {
      const its = getComputedStyle(at);
      backgrounds.push(parsed(its.backgroundColor));
      opacity *= Number(its.opacity);
    }
    let below = [255, 255, 255, 1];
    for (const background of backgrounds.reverse()) below = over(background, below);
    const letters = parsed(style.color);
    letters[3] *= opacity;
    const both = [luminance(over(letters, below)), luminance(below)];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) found.push(`${text.slice(0, 30)} (${ratio.toFixed(2)})`);
  }
  return found;
}"""


def hard_to_read(page: Page) -> list[str]:
    """The texts that are shown with too little contrast, each with its ratio."""
    found: list[str] = page.evaluate(_SCRIPT)
    return found
