"""The page's style sheet: one column, light and dark by the reader's setting, readable from 360 pixels on, prints well."""

STYLE = """
:root { color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #22262b; --soft: #5d6671; --line: #dfe2e6;
  --first: #2563b8; --second: #c2541b; --quiet: #a9b4c0; --code: #f1f3f5; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1c2024; --ink: #e4e7ea; --soft: #9aa4af; --line: #343a41;
  --first: #6ea8f2; --second: #f0945c; --quiet: #566270; --code: #24292e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; }
h3 { font-size: 1.02rem; margin: 0 0 .2rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
.soft, figcaption { color: var(--soft); }
.lead { font-size: 1.08rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: .8rem; margin: 1.4rem 0; padding: 0; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.32rem; white-space: nowrap; line-height: 1.25; font-weight: 650; }
.tile span { color: var(--soft); font-size: .88rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: .9rem; }
.card { margin: 0 0 .9rem; min-width: 0; }
.grid .card { margin: 0; }
figure { margin: 0; }
figcaption { font-size: .88rem; }
svg.plot { display: block; width: 100%; height: auto; margin-top: .4rem;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); white-space: nowrap; }
td { overflow-wrap: anywhere; }
.narrow td:first-child, td.name { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.own td { font-weight: 650; }
td.number:last-child, th.number:last-child { padding-right: 0; }
table.results td:first-child { overflow-wrap: break-word; min-width: 7rem; }
td small { display: block; color: var(--soft); font-weight: 400; }
pre { background: var(--code); border-radius: .45rem; padding: .7rem .9rem; margin: .4rem 0; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; font: .86rem/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
code { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; font-size: .9em; overflow-wrap: anywhere; }
pre .asked { color: var(--soft); }
pre .made { color: var(--first); }
details { border-bottom: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; display: flex; flex-wrap: wrap; gap: 0 .8rem; align-items: baseline; }
summary::before { content: "\\25B8"; color: var(--soft); }
details[open] > summary::before { content: "\\25BE"; }
summary b { overflow-wrap: anywhere; }
summary .time { margin-left: auto; color: var(--soft); font-variant-numeric: tabular-nums; }
.bar { background: var(--line); border-radius: 1rem; height: .38rem; min-width: 4rem; max-width: 16rem;
  overflow: hidden; flex: 1 1 6rem; }
.bar i { display: block; height: 100%; background: var(--first); }
.right { color: var(--first); } .wrong { color: var(--second); }
footer { margin-top: 3rem; color: var(--soft); font-size: .88rem; }
@media (max-width: 30rem) { main { padding-top: 1.2rem; } h1 { font-size: 1.5rem; } .card { padding: .7rem .75rem; } }
@media print { body { background: #fff; } details > * { display: block; } }
"""
