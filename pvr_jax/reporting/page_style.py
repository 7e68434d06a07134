"""The style sheet of the page: no font or image from elsewhere, light and dark."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --quiet: #5c5c5c; --paper: #fdfdfb;
  --line: #d4d4cf; --wash: #f2f2ee; --link: #00568a; --mark: #b34700; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e4; --quiet: #a5a5a0; --paper: #17181a; --line: #3b3d40; --wash: #222427;
    --link: #7cc4f2; --mark: #ffae70; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 74rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 Charter, "Bitstream Charter", Georgia, serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .6rem; padding-top: .5rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .3rem; }
p, dl, ul.prose, figcaption { max-width: 46rem; }
.lead { font-size: 1.08rem; }
a { color: var(--link); }
code, pre, .run { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: .82em; }
nav { margin: .8rem 0 0; font-size: .92rem; }
nav a { display: inline-block; margin-right: 1.1em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font: .8rem/1.4 ui-sans-serif, system-ui, "Helvetica Neue",
  "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .26rem .5rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { padding-left: .2rem; }
th.text, td.text { text-align: left; }
thead th { border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink);
  vertical-align: bottom; white-space: normal; }
tbody th { text-align: left; padding-top: .9rem; font-weight: 600; white-space: normal; }
tbody tr + tr td { border-top: 1px solid var(--line); }
table tbody:last-child tr:last-child td { border-bottom: 2px solid var(--ink); }
td.outside { color: var(--mark); font-weight: 600; }
.notes { font-size: .88rem; color: var(--quiet); padding-left: 1.1rem; }
figure { margin: 1.2rem 0 2rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; padding: .7rem;
  border: 1px solid var(--line); border-radius: 4px; }
figcaption { margin-top: .5rem; font-size: .9rem; color: var(--quiet); }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0 0 0 1.2rem; }
details { margin: .6rem 0; padding: .5rem .8rem; background: var(--wash);
  border: 1px solid var(--line); border-radius: 4px; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem;
  font-size: .92rem; max-width: none; }
dl.facts dt { margin: 0; font-weight: normal; color: var(--quiet); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; } figure { break-inside: avoid; } nav { display:
  none; } }
"""
