/** Small SVG plots of the simulation's results: points with fronts, and lines over time. No dependency, readable in light and dark. */

export interface Series {
  readonly name: string
  readonly colour: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** `dots`: each point; `front`: the points joined; `steps`: each value held until the next. */
  readonly as: 'dots' | 'front' | 'steps'
}

export interface Plot {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
  readonly yMax?: number
  readonly xMax?: number
}

const WIDTH = 820
const HEIGHT = 460
const LEFT = 70
const RIGHT = 190
const TOP = 40
const BOTTOM = 55

export function svg(plot: Plot): string {
  const all = plot.series.flatMap(({ points }) => points)
  const xMax = plot.xMax ?? nice(Math.max(...all.map(([x]) => x), 1))
  const yMax = plot.yMax ?? nice(Math.max(...all.map(([, y]) => y), 1))
  const px = (x: number) => LEFT + (Math.min(x, xMax) / xMax) * (WIDTH - LEFT - RIGHT)
  const py = (y: number) => HEIGHT - BOTTOM - (Math.min(y, yMax) / yMax) * (HEIGHT - TOP - BOTTOM)
  const ticks = [0, 0.25, 0.5, 0.75, 1]
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${LEFT}" y="22" font-size="15" fill="#222">${plot.title}</text>`,
    ...ticks.map((t) => grid(px(t * xMax), py(t * yMax), label(t * xMax), label(t * yMax))),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle" fill="#444">${plot.x}</text>`,
    `<text transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle" fill="#444">${plot.y}</text>`,
    ...plot.series.map((series) => draw(series, { px, py, xMax, yMax })),
    ...plot.series.map(({ name, colour }, i) => legend(name, colour, i)),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

interface Scale {
  readonly px: (x: number) => number
  readonly py: (y: number) => number
  readonly xMax: number
  readonly yMax: number
}

function draw({ points, colour, as }: Series, { px, py, xMax, yMax }: Scale): string {
  if (as === 'dots') {
    return points
      .filter(([x, y]) => x <= xMax && y <= yMax)
      .map(
        ([x, y]) =>
          `<circle cx="${fix(px(x))}" cy="${fix(py(y))}" r="3" fill="${colour}" fill-opacity="0.35"/>`,
      )
      .join('')
  }
  let path = ''
  points.forEach(([x, y], i) => {
    const before = points[i - 1]
    if (as === 'steps' && before) path += `L${fix(px(x))} ${fix(py(before[1]))}`
    path += `${i === 0 ? 'M' : 'L'}${fix(px(x))} ${fix(py(y))}`
  })
  const marks =
    as === 'front'
      ? points.map(([x, y]) => `<circle cx="${fix(px(x))}" cy="${fix(py(y))}" r="4" fill="${colour}"/>`)
      : []
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>${marks.join('')}`
}

function grid(x: number, y: number, xLabel: string, yLabel: string): string {
  return (
    `<path d="M${LEFT} ${fix(y)}H${WIDTH - RIGHT}" stroke="#e4e4e4"/>` +
    `<text x="${LEFT - 8}" y="${fix(y + 4)}" text-anchor="end" fill="#444">${yLabel}</text>` +
    `<text x="${fix(x)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#444">${xLabel}</text>`
  )
}

function legend(name: string, colour: string, row: number): string {
  const y = TOP + 8 + row * 20
  const x = WIDTH - RIGHT + 14
  return `<circle cx="${x}" cy="${y}" r="5" fill="${colour}"/><text x="${x + 12}" y="${y + 4}" fill="#222">${name}</text>`
}

const fix = (value: number) => value.toFixed(1)
const label = (value: number) =>
  value >= 10_000 ? `${Math.round(value / 1000)}k` : String(Number(value.toPrecision(3)))

function nice(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return Math.ceil((value / unit) * 2) * (unit / 2)
}
