/** Plots over time, drawn by uPlot in the colours of the page. */
import uPlot from 'uplot'
import { el, setText } from './dom.ts'

export interface PlotLine {
  readonly label: string
  /** The name of a custom property of the page, without its dashes. */
  readonly color: string
  readonly isFilled?: boolean
  readonly isStepped?: boolean
}

export interface PlotOptions {
  readonly title: string
  readonly lines: readonly PlotLine[]
  readonly format: (value: number | undefined) => string
  /** The least upper end of the axis. */
  readonly atLeast?: number
  /** The upper end, where it is always the same. */
  readonly top?: number
}

const HEIGHT = 148
const WINDOW_S = 600
const LEAST_WINDOW_S = 60
const sync = uPlot.sync('time')

/** A plot with its title and legend; the legend has the newest values, or those under the cursor. */
export class Plot {
  readonly element: HTMLElement
  readonly #options: PlotOptions
  readonly #values: readonly HTMLElement[]
  readonly #holder = el('div', { class: 'plot-area' })
  #plot: uPlot | undefined
  #data: (number | null | undefined)[][] = []

  constructor(options: PlotOptions) {
    this.#options = options
    this.#values = options.lines.map(() => el('b', { text: '–' }))
    const legend = options.lines.map(({ label, color }, at) =>
      el('span', {}, el('i', { class: `swatch ${color}` }), label, this.#values[at]),
    )
    this.element = el(
      'figure',
      { class: 'panel plot' },
      el('figcaption', {}, el('h3', { text: options.title }), el('div', { class: 'legend' }, ...legend)),
      this.#holder,
    )
    new ResizeObserver(() => this.#resize()).observe(this.#holder)
  }

  /** @param data times in seconds, then a list of values for each line; undefined is a gap */
  set(data: readonly (readonly (number | undefined)[])[]): void {
    this.#data = data.map((values, at) =>
      values.map((value) => (at > 0 && value === undefined ? null : value)),
    )
    if (this.#holder.clientWidth === 0) return
    if (this.#plot) this.#plot.setData(this.#data as uPlot.AlignedData)
    else this.#draw()
    this.#legend()
  }

  /** Draws again, in other colours. */
  recolor(): void {
    this.#plot?.destroy()
    this.#plot = undefined
    if (this.#holder.clientWidth > 0 && this.#data.length > 0) this.#draw()
  }

  #resize(): void {
    const width = this.#holder.clientWidth
    if (width > 0) this.#plot?.setSize({ width, height: HEIGHT })
    if (width > 0 && !this.#plot && this.#data.length > 0) this.#draw()
  }

  #legend(): void {
    const at = this.#plot?.cursor.idx
    this.#values.forEach((element, line) => {
      const values = this.#data[line + 1] ?? []
      setText(element, this.#options.format(values[at ?? values.length - 1] ?? undefined))
    })
  }

  #draw(): void {
    const { lines, format, atLeast = 0, top } = this.#options
    const style = getComputedStyle(document.documentElement)
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim()
    const axis = {
      stroke: color('muted'),
      grid: { stroke: color('grid'), width: 1 },
      ticks: { show: false },
      font: '11px Inter, system-ui, sans-serif',
    }
    const options: uPlot.Options = {
      width: this.#holder.clientWidth,
      height: HEIGHT,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: { y: false, sync: { key: sync.key }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: {
          time: true,
          range: (_, from, to) => [Math.min(to - LEAST_WINDOW_S, Math.max(from, to - WINDOW_S)), to],
        },
        y: { range: (_, __, most) => [0, top ?? Math.max(atLeast, (most ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, size: 24, space: 80, values: (_, times) => times.map(timeOf) },
        { ...axis, size: 58, space: 36, values: (_, values) => values.map((value) => format(value)) },
      ],
      series: [
        {},
        ...lines.map(
          (line): uPlot.Series => ({
            stroke: color(line.color),
            width: 1.5,
            ...(line.isFilled ? { fill: `color-mix(in srgb, ${color(line.color)} 14%, transparent)` } : {}),
            ...(line.isStepped && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
            points: { show: false },
            spanGaps: false,
          }),
        ),
      ],
      hooks: { setCursor: [() => this.#legend()] },
    }
    this.#plot = new uPlot(options, this.#data as uPlot.AlignedData, this.#holder)
  }
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString('en-GB')
}
