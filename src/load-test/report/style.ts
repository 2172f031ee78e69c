/** The style sheet of a report, for light and dark, for screens of any width and for paper. */
import { Markup } from './markup.ts'

const COLOURS = {
  light: ['#1b6ac9', '#c2410c', '#15803d', '#a21caf', '#0e7490', '#b91c1c', '#4d7c0f', '#6d28d9'],
  dark: ['#6ab0ff', '#ff9d5c', '#6ee08a', '#f08cf5', '#5fd7e8', '#ff8a8a', '#b7e35a', '#b79bff'],
}
const DASHES = ['none', '6 3', '2 3', '9 3 2 3', 'none', '6 3', '2 3', '9 3 2 3']

const variables = (colours: readonly string[]): string =>
  colours.map((colour, i) => `--c${i}:${colour}`).join(';')

export const STYLE: Markup = new Markup(`
:root{color-scheme:light dark;--back:#fff;--text:#1c1f24;--quiet:#5b6470;--edge:#d5dae1;--bad:#b91c1c;--good:#15803d;${variables(COLOURS.light)}}
@media (prefers-color-scheme:dark){:root{--back:#14171c;--text:#e6e9ee;--quiet:#9aa4b2;--edge:#343b46;--bad:#ff8a8a;--good:#6ee08a;${variables(COLOURS.dark)}}}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.45 system-ui,sans-serif}
main{max-width:860px;margin:0 auto;padding:20px}
h1{font-size:1.4em;overflow-wrap:anywhere}
h2{font-size:1.05em;overflow-wrap:anywhere}
.quiet,th,svg text{color:var(--quiet);fill:var(--quiet)}
.note,.broken{border-left:4px solid var(--bad);padding:2px 12px}
.kept{border-left:4px solid var(--good);padding:2px 12px}
.tables{display:flex;flex-wrap:wrap;gap:0 40px}
table{border-collapse:collapse}
th,td{padding:2px 16px 2px 0;text-align:left;font-weight:normal;vertical-align:top;overflow-wrap:anywhere}
td{font-variant-numeric:tabular-nums}
figure{margin:18px 0}
figcaption{display:flex;flex-wrap:wrap;gap:4px 18px;font-weight:600}
.legend{display:flex;flex-wrap:wrap;gap:0 14px;font-weight:normal}
.key::before{content:"";display:inline-block;width:14px;height:3px;margin:0 5px 3px 0;background:currentColor}
svg{display:block;width:100%;height:auto;font-size:11px}
.grid{stroke:var(--edge);stroke-width:1;fill:none}
.line{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.place{fill:transparent}
.place:hover{fill:var(--edge);fill-opacity:.5}
${DASHES.map((dash, i) => `.c${i}{color:var(--c${i});stroke-dasharray:${dash}}`).join('\n')}
`)
