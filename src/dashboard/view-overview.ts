/** How the gateway is doing, at a glance. */
import { badge, el, panel, setChildren, setText } from './dom.ts'
import { count, duration, percent, rate } from './format.ts'
import { isNotable, LogList } from './log-list.ts'
import { Plot, type PlotOptions } from './plot.ts'
import { RolloutPanel } from './rollouts.ts'
import { backendsOf, kindOfState } from './states.ts'
import type { Moment, Store } from './store.ts'
import { DataTable } from './table.ts'
import type { View } from './view.ts'

interface PoolSummary {
  readonly pool: string
  readonly ready: number
  readonly all: number
  readonly inflight: number
  readonly queued: number
  readonly troubles: string
}

/** A number in large type with what it is. */
class Tile {
  readonly element: HTMLElement
  readonly #value = el('strong', { text: '–' })
  readonly #note = el('small')

  constructor(label: string) {
    this.element = el('div', { class: 'tile' }, el('span', { text: label }), this.#value, this.#note)
  }

  set(value: string, note: string, kind = ''): void {
    setText(this.#value, value)
    setText(this.#note, note)
    this.element.className = `tile ${kind}`
  }
}

const PLOTS: readonly (PlotOptions & { readonly of: readonly ((moment: Moment) => number | undefined)[] })[] =
  [
    {
      title: 'Calls a second',
      lines: [
        { label: 'all', color: 'line-1', isFilled: true },
        { label: 'hits', color: 'line-2' },
        { label: 'misses', color: 'line-3' },
        { label: 'collapsed', color: 'line-5' },
      ],
      format: rate,
      atLeast: 5,
      of: [
        ({ stats }) => stats?.calls.perSecond,
        ({ stats }) => stats && (stats.calls.cache['hit'] ?? 0),
        ({ stats }) => stats && (stats.calls.cache['miss'] ?? 0) + (stats.calls.cache['partial'] ?? 0),
        ({ stats }) => stats && (stats.calls.cache['collapsed'] ?? 0),
      ],
    },
    {
      title: 'Latency, of the last 5 s',
      lines: [
        { label: 'p50', color: 'line-2' },
        { label: 'p95', color: 'line-1' },
        { label: 'p99', color: 'line-4' },
      ],
      format: duration,
      atLeast: 5,
      of: [
        ({ stats }) => stats?.calls.latencyMs.p50,
        ({ stats }) => stats?.calls.latencyMs.p95,
        ({ stats }) => stats?.calls.latencyMs.p99,
      ],
    },
    {
      title: 'Calls that needed no backend',
      lines: [{ label: 'hit ratio', color: 'line-2', isFilled: true }],
      format: percent,
      top: 1,
      of: [({ stats }) => stats?.calls.hitRatio],
    },
    {
      title: 'Waiting and failing',
      lines: [
        { label: 'queued', color: 'line-5' },
        { label: 'errors a second', color: 'line-4', isFilled: true },
        { label: 'refused a second', color: 'line-3' },
      ],
      format: rate,
      atLeast: 5,
      of: [
        ({ stats }) => stats?.queued,
        ({ stats }) => stats?.calls.errorsPerSecond,
        ({ stats }) => stats?.calls.refusedPerSecond,
      ],
    },
  ]

export class OverviewView implements View {
  readonly id = 'overview'
  readonly title = 'Overview'
  readonly element: HTMLElement
  readonly #reasons = el('ul', { class: 'reasons', 'aria-label': 'What is wrong' })
  readonly #tiles = {
    calls: new Tile('Calls a second'),
    hits: new Tile('Hit ratio'),
    rows: new Tile('Rows saved a second'),
    latency: new Tile('Latency p95'),
    errors: new Tile('Errors a second'),
    queue: new Tile('Waiting'),
  }
  readonly #plots = PLOTS.map((options) => ({ ...options, plot: new Plot(options) }))
  readonly #pools = new DataTable<PoolSummary>({
    label: 'Pools',
    key: ({ pool }) => pool,
    empty: 'No pool is configured.',
    sort: { column: 0, isDescending: false },
    columns: [
      { title: 'Pool', show: ({ pool }) => pool, sortBy: ({ pool }) => pool, kind: () => 'name' },
      {
        title: 'Ready',
        make: ({ ready, all }) =>
          badge(`${ready} of ${all}`, ready === 0 ? 'bad' : ready < all ? 'busy' : 'good'),
        sortBy: ({ ready, all }) => `${ready} of ${all}`,
      },
      {
        title: 'In flight',
        isNumber: true,
        show: ({ inflight }) => count(inflight),
        sortBy: ({ inflight }) => inflight,
      },
      {
        title: 'Queued',
        isNumber: true,
        show: ({ queued }) => count(queued),
        sortBy: ({ queued }) => queued,
      },
      {
        title: 'Trouble',
        isExtra: true,
        show: ({ troubles }) => troubles,
        sortBy: ({ troubles }) => troubles,
      },
    ],
  })
  readonly #rollouts = new RolloutPanel()
  readonly #log = new LogList(12, 'Nothing notable has happened.')

  constructor() {
    this.element = el(
      'div',
      {},
      this.#reasons,
      this.#rollouts.element,
      el('div', { class: 'tiles' }, ...Object.values(this.#tiles).map(({ element }) => element)),
      el('div', { class: 'plots' }, ...this.#plots.map(({ plot }) => plot.element)),
      el('div', { class: 'halves' }, panel('Pools', this.#pools.element), panel('Lately', this.#log.element)),
    )
  }

  render(store: Store): void {
    this.#renderReasons(store)
    this.#rollouts.render(store)
    this.#renderTiles(store)
    const times = store.history.map(({ at }) => at / 1000)
    for (const { plot, of } of this.#plots) plot.set([times, ...of.map((each) => store.history.map(each))])
    this.#pools.set([...store.pools.keys()].map((pool) => summaryOf(store, pool)))
    this.#log.set(store.lines.filter(isNotable))
  }

  recolor(): void {
    for (const { plot } of this.#plots) plot.recolor()
  }

  #renderReasons({ gateway }: Store): void {
    const { workers = 0, listening = 0, reasons = [] } = gateway ?? {}
    const missing =
      listening < workers ? [`${workers - listening} of ${workers} data workers do not take calls`] : []
    const texts = [...missing, ...reasons]
    if (texts.join('\n') === [...this.#reasons.children].map(({ textContent }) => textContent).join('\n'))
      return
    setChildren(
      this.#reasons,
      texts.map((text) => el('li', { text })),
    )
  }

  #renderTiles({ stats }: Store): void {
    const { calls, hits, rows, latency, errors, queue } = this.#tiles
    if (!stats) return
    const { p95, p99 } = stats.calls.latencyMs
    const { errorsPerSecond, refusedPerSecond } = stats.calls
    const saved = stats.rows.hit + stats.rows.join + stats.rows.dup
    calls.set(rate(stats.calls.perSecond), `${rate(stats.calls.cache['hit'] ?? 0)} hits`)
    hits.set(
      percent(stats.calls.hitRatio),
      stats.calls.hitRatio === undefined ? 'no calls' : 'of the last second',
    )
    rows.set(rate(saved), `${rate(stats.rows.miss)} asked of backends`)
    latency.set(duration(p95), p99 === undefined ? 'no calls' : `p99 ${duration(p99)}`)
    errors.set(rate(errorsPerSecond), `${rate(refusedPerSecond)} refused`, errorsPerSecond > 0 ? 'bad' : '')
    queue.set(count(stats.queued), `${count(stats.flights)} loads under way`, stats.queued > 0 ? 'busy' : '')
  }
}

function summaryOf(store: Store, pool: string): PoolSummary {
  const backends = backendsOf(store, pool)
  const traffic = store.traffic.get(pool)
  const troubles = [
    traffic?.panic ? 'panic: most are ejected' : '',
    traffic?.failing ? 'most calls fail' : '',
    store.pools.get(pool)?.preservation === undefined ? '' : 'nobody is removed',
    ...new Set(
      backends
        .filter(({ state }) => kindOfState(state) === 'bad')
        .map(({ id, state }) => `${id}: ${state}`)
        .slice(0, 3),
    ),
  ].filter((text) => text !== '')
  return {
    pool,
    ready: backends.filter(({ state }) => kindOfState(state) === 'good').length,
    all: backends.length,
    inflight: backends.reduce((sum, { inflight }) => sum + inflight, 0),
    queued: traffic?.queued ?? 0,
    troubles: troubles.join('; '),
  }
}
