"""The style sheet of the report's page: wide and narrow, light and dark, and on paper."""

_SCREEN = """
:root { color-scheme: light dark; --line: #8885;
  --quiet: color-mix(in srgb, CanvasText 68%, Canvas); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 96rem; margin: 0 auto;
  padding: 2rem clamp(1rem, 3vw, 3rem) 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1rem; font-weight: 600; color: var(--quiet); margin: 0 0 .75rem; }
h1 + p { font-size: clamp(1.35rem, 1rem + 1.2vw, 2rem); line-height: 1.3; font-weight: 600;
  margin: 0 0 1.25rem; max-width: 40rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 3rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p, ul { max-width: 46rem; }
ul { padding-left: 1.25rem; } li + li { margin-top: .35rem; }
.beside { display: grid; gap: 1rem 3rem; align-items: start; }
.beside > * { min-width: 0; }
.wide { overflow-x: auto; margin: .75rem 0;  /* a shade at the right while there is more to see */
  background: linear-gradient(to left, Canvas 50%, transparent) right / 2rem 100% no-repeat local,
    linear-gradient(to left, #8885, transparent) right / .75rem 100% no-repeat scroll; }
table { border-collapse: separate; border-spacing: 0; font-size: .8125rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: baseline; white-space: nowrap; overflow-wrap: normal; }
thead th { font-weight: 600; color: var(--quiet); }
tbody th { font-weight: 500; }
tr > :first-child { position: sticky; left: 0; background: Canvas; overflow-wrap: anywhere; }
figure { margin: 0 0 2rem; break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; background: white; border-radius: 4px; }
figcaption { font-size: .875rem; line-height: 1.45; color: var(--quiet); margin-top: .5rem; }
.figures { columns: 22rem; column-gap: 3rem; }
.figures:has(> :only-child) { columns: auto; max-width: 40rem; }
summary { cursor: pointer; padding: .25rem 0; }
"""

_WIDE = """
@media screen and (min-width: 60rem) {
  .beside:not(:has(table)) { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
}
@media screen and (min-width: 80rem) {
  .beside:has(table) { grid-template-columns: minmax(0, 8fr) minmax(0, 5fr); }
}
"""

_NARROW = """
@media (max-width: 40rem) {
  h2 { margin-top: 2.25rem; }
  th, td { padding-right: .75rem; }
  tr > :first-child { white-space: normal; min-width: 7rem; max-width: 9rem; }
}
"""

# Inverted, a drawing is light on dark; turned by half a circle, its colours keep their hue. Images
# in it, which show values, are inverted back.
_DARK = """
@media (prefers-color-scheme: dark) {
  figure svg { filter: invert(.93) hue-rotate(180deg) brightness(1.3); }
  figure svg image { filter: invert(1) hue-rotate(180deg); }
}
"""

_PRINT = """
@page { margin: 16mm 14mm; }
@media print {
  :root { color-scheme: light; }
  body { font-size: 10pt; max-width: none; padding: 0; }
  h1 + p { font-size: 16pt; }
  h2 { font-size: 12pt; margin-top: 8mm; } h3 { font-size: 10pt; }
  h1, h2, h3, summary { break-after: avoid; }
  figure svg, figure svg image { filter: none; }
  figure svg { border-radius: 0; max-height: 21cm; }
  .figures { columns: 2; column-gap: 8mm; }
  .figures:has(> :only-child) { max-width: 11cm; }
  .wide { overflow: visible; background: none; }
  table { font-size: 7pt; break-inside: avoid; }
  th, td { white-space: normal; padding: 1pt 6pt 1pt 0; }
  tr { break-inside: avoid; }
  tr > :first-child { position: static; background: none; }
  summary { list-style: none; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
}
"""

STYLE = _SCREEN + _WIDE + _NARROW + _DARK + _PRINT
