/** A chart of lines over time, or over any other number, as SVG that needs no script. */
import { type Markup, markup } from './markup.ts'

export interface ChartLine {
  readonly name: string
  /** In the order of x. A gap where y is undefined. */
  readonly points: readonly ChartPoint[]
}

export interface ChartPoint {
  readonly x: number
  readonly y: number | undefined
}

export interface ChartOptions {
  readonly title: string
  readonly lines: readonly ChartLine[]
  /** A value of y for people. */
  readonly formatY: (y: number) => string
  readonly formatX: (x: number) => string
  /** On a logarithmic scale; what is not above 0 is left out. */
  readonly isLog?: boolean
  /** The scale reaches at least so far; a share reaches 1. */
  readonly leastTop?: number
}

const WIDTH = 760
const HEIGHT = 200
const LEFT = 70
const RIGHT = 12
const TOP = 10
const BOTTOM = 24
/** Places that tell their values when the pointer is over them. */
const MAX_PLACES = 400
/** Lines have a colour and a dash each, of the style sheet. */
export const MAX_LINES = 8

/** Undefined: there is nothing to draw. */
export function chart(options: ChartOptions): Markup | undefined {
  const points = options.lines.flatMap(({ points }) => points).filter((point) => isDrawn(point, options))
  if (points.length === 0) return undefined
  const x = scaleX(points)
  const y = scaleY(points, options)
  const lines = options.lines.slice(0, MAX_LINES)
  return markup`<figure><figcaption>${options.title}<span class="legend">${lines.map(
    ({ name }, i) => markup`<span class="key c${i}">${name}</span>`,
  )}</span></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${options.title}">
${y.ticks.map((tick) => gridLine(tick, y, options))}${x.ticks.map((tick) => xLabel(tick, x, options))}
${lines.map((line, i) => markup`<path class="line c${i}" d="${pathOf(line, x, y, options)}"/>`)}
${places(lines, x, options)}</svg></figure>
`
}

interface Scale {
  readonly at: (value: number) => number
  readonly ticks: readonly number[]
}

function isDrawn({ y }: ChartPoint, { isLog = false }: ChartOptions): boolean {
  return y !== undefined && Number.isFinite(y) && (!isLog || y > 0)
}

function scaleX(points: readonly ChartPoint[]): Scale {
  const [low, high] = rangeOf(points.map(({ x }) => x))
  const span = high - low || 1
  const at = (value: number) => LEFT + ((value - low) / span) * (WIDTH - LEFT - RIGHT)
  return { at, ticks: steps(low, high, 8) }
}

function scaleY(points: readonly ChartPoint[], { isLog = false, leastTop = 0 }: ChartOptions): Scale {
  const [least, most] = rangeOf(points.map(({ y }) => y ?? 0))
  const room = HEIGHT - TOP - BOTTOM
  if (!isLog) {
    const ticks = steps(0, Math.max(most, leastTop) || 1, 4)
    const high = Math.max(most, leastTop, ticks.at(-1) ?? 0) || 1
    return { at: (value) => TOP + room * (1 - value / high), ticks }
  }
  const [low, high] = [
    Math.floor(Math.log10(least)),
    Math.max(Math.ceil(Math.log10(most)), Math.floor(Math.log10(least)) + 1),
  ]
  const at = (value: number) => TOP + room * (1 - (Math.log10(value) - low) / (high - low))
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)) }
}

function rangeOf(values: readonly number[]): [low: number, high: number] {
  return values.reduce<[number, number]>(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  )
}

/** Round numbers from the one to the other, some `count` of them. */
function steps(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count
  if (rough <= 0) return [low]
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power
  const first = Math.ceil(low / step)
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step)
}

function gridLine(tick: number, { at }: Scale, { formatY }: ChartOptions): Markup {
  const y = at(tick).toFixed(1)
  return markup`<path class="grid" d="M${LEFT} ${y}H${WIDTH - RIGHT}"/><text x="${LEFT - 6}" y="${y}" dy="4" text-anchor="end">${formatY(tick)}</text>`
}

function xLabel(tick: number, { at }: Scale, { formatX }: ChartOptions): Markup {
  return markup`<text x="${at(tick).toFixed(1)}" y="${HEIGHT - 6}" text-anchor="middle">${formatX(tick)}</text>`
}

function pathOf(line: ChartLine, x: Scale, y: Scale, options: ChartOptions): string {
  let isDown = false
  const parts = line.points.map((point) => {
    const wasDown = isDown
    isDown = isDrawn(point, options)
    if (!isDown) return ''
    return `${wasDown ? 'L' : 'M'}${x.at(point.x).toFixed(1)} ${y.at(point.y ?? 0).toFixed(1)}`
  })
  // A point alone is drawn as well: a line of no length has round ends.
  return `${parts.join('')}${parts.filter(Boolean).length === 1 ? 'h0' : ''}`
}

/** Strips over the whole height, each with the values of its x. */
function places(lines: readonly ChartLine[], { at }: Scale, { formatX, formatY }: ChartOptions): Markup[] {
  const all = [...new Set(lines.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b)
  const every = Math.ceil(all.length / MAX_PLACES)
  const shown = all.filter((_, i) => i % every === 0)
  const width = Math.max(1, (WIDTH - LEFT - RIGHT) / Math.max(1, shown.length))
  const values = lines.map(({ name, points }) => ({ name, at: new Map(points.map(({ x, y }) => [x, y])) }))
  return shown.map((x) => {
    const told = values.flatMap(({ name, at }) => {
      const y = at.get(x)
      return y === undefined ? [] : [`${name} ${formatY(y)}`]
    })
    const from = (at(x) - width / 2).toFixed(1)
    return markup`<rect class="place" x="${from}" y="${TOP}" width="${width.toFixed(1)}" height="${HEIGHT - TOP - BOTTOM}"><title>${[formatX(x), ...told].join('\n')}</title></rect>`
  })
}
