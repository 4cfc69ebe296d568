// Stay at the end while the answer grows, unless the reader has scrolled up; Escape stops from anywhere.
(() => {
  let following = true;
  const end = () => document.documentElement.scrollHeight;
  addEventListener("scroll", () => { following = innerHeight + scrollY > end() - 80; }, { passive: true });
  new MutationObserver(() => { if (following) scrollTo(0, end()); })
    .observe(document.body, { childList: true, subtree: true, characterData: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") emitEvent("gu-stop"); });
})();
