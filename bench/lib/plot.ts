/** A bar chart as SVG: medians, with the range of the rounds as a line. No library, readable in a diff. */

export interface Chart {
  readonly title: string
  readonly unit: string
  /** A value to be reached, drawn as a line through the bars. */
  readonly mark?: number
  readonly bars: readonly {
    readonly label: string
    /** Which bars stand out; default: the first. */
    readonly strong?: boolean
    readonly value: number
    readonly range: readonly [number, number]
  }[]
}

const WIDTH = 720
const LEFT = 210
const RIGHT = 110
const ROW = 34
const TOP = 48

export function barChart({ title, unit, mark, bars }: Chart): string {
  const most = Math.max(...bars.map(({ range }) => range[1]), mark ?? Number.MIN_VALUE)
  const scale = (value: number) => (value / most) * (WIDTH - LEFT - RIGHT)
  const height = TOP + bars.length * ROW + 12
  const rows = bars.map(({ label, value, range, strong }, i) => {
    const y = TOP + i * ROW
    const middle = y + 11
    const [low, high] = [LEFT + scale(range[0]), LEFT + scale(range[1])]
    return `  <text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>
  <rect x="${LEFT}" y="${y}" width="${scale(value).toFixed(1)}" height="22" fill="${(strong ?? i === 0) ? '#2563eb' : '#94a3b8'}"/>
  <line x1="${low.toFixed(1)}" x2="${high.toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#0f172a" stroke-width="1.5"/>
  <text x="${(high + 8).toFixed(1)}" y="${middle + 4}">${shown(value)}</text>`
  })
  const at = LEFT + scale(mark ?? 0)
  const line =
    mark === undefined
      ? ''
      : `\n  <line x1="${at.toFixed(1)}" x2="${at.toFixed(1)}" y1="${TOP - 6}" y2="${height - 6}" stroke="#dc2626" stroke-dasharray="4 3"/>`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" fill="#0f172a">
  <rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
  <text x="10" y="26" font-size="16" font-weight="600">${escaped(title)} (${escaped(unit)})</text>
${rows.join('\n')}${line}
</svg>
`
}

function shown(value: number): string {
  if (Number.isInteger(value) || value >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(3)
}

export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
