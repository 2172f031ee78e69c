/** A folded profile as a flame graph: SVG without scripts; names where they fit, all of it on hovering. */
import type { Frame, Owner } from './cpuprofile.ts'
import { escaped } from './plot.ts'

const WIDTH = 1400
const ROW = 18
const TOP = 56
const CHARACTER = 6.6
// Thinner than this is not drawn: it could not be seen, and there are thousands.
const THINNEST = 1

const COLOURS: Record<Owner, string> = {
  ours: '#7db3f5',
  package: '#f2b705',
  node: '#c9d3df',
  engine: '#e8a3a3',
}
const LEGEND: readonly [Owner, string][] = [
  ['ours', 'infergate'],
  ['package', 'packages'],
  ['node', 'Node'],
  ['engine', 'engine, native, kernel'],
]

/** Widths are shares of the time that was not idle; the outermost frames are at the top. */
export function flameGraph(root: Frame, title: string): string {
  const boxes: string[] = []
  const deepest = draw(root, { x: 0, depth: 0, total: root.totalMicros, boxes })
  const height = TOP + (deepest + 1) * ROW + 10
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="ui-monospace, monospace" font-size="11" fill="#0f172a">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="8" y="22" font-size="15" font-weight="600">${escaped(title)}</text>
${LEGEND.map(([owner, name], i) => `<rect x="${8 + i * 190}" y="32" width="12" height="12" fill="${COLOURS[owner]}"/><text x="${25 + i * 190}" y="42">${name}</text>`).join('\n')}
${boxes.join('\n')}
</svg>
`
}

interface Canvas {
  readonly x: number
  readonly depth: number
  readonly total: number
  readonly boxes: string[]
}

/** Draws a frame and what it calls, widest first; gives the depth of the deepest that was drawn. */
function draw(frame: Frame, { x, depth, total, boxes }: Canvas): number {
  boxes.push(box(frame, { x, depth, total }))
  let left = x
  let deepest = depth
  for (const child of [...frame.children.values()].sort((a, b) => b.totalMicros - a.totalMicros)) {
    const width = (child.totalMicros / total) * WIDTH
    if (width >= THINNEST)
      deepest = Math.max(deepest, draw(child, { x: left, depth: depth + 1, total, boxes }))
    left += width
  }
  return deepest
}

function box({ name, file, owner, totalMicros, selfMicros }: Frame, at: Omit<Canvas, 'boxes'>): string {
  const width = (totalMicros / at.total) * WIDTH
  const y = TOP + at.depth * ROW
  const percent = (micros: number) => `${((micros / at.total) * 100).toFixed(1)} %`
  const full = ['', name, `native ${name}`].includes(file) ? name : `${name} ${file}`
  const room = Math.floor((width - 6) / CHARACTER)
  const shown =
    full.length <= room ? full : room >= name.length ? name : room >= 4 ? `${name.slice(0, room - 1)}…` : ''
  const text = shown === '' ? '' : `<text x="${(at.x + 3).toFixed(1)}" y="${y + 13}">${escaped(shown)}</text>`
  return `<g><title>${escaped(full)}: ${percent(totalMicros)}, itself ${percent(selfMicros)}</title><rect x="${at.x.toFixed(1)}" y="${y}" width="${Math.max(0.5, width - 0.5).toFixed(1)}" height="${ROW - 1}" fill="${COLOURS[owner]}"/>${text}</g>`
}
