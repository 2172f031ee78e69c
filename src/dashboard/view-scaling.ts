/** Scaling: how many replicas there should be, and why, in sentences. */
import { badge, el, setChildren, setText } from './dom.ts'
import { count, duration, percent, rate, words } from './format.ts'
import { LogList } from './log-list.ts'
import { Plot } from './plot.ts'
import type { ShownScale } from './shown.ts'
import type { Store } from './store.ts'
import type { View } from './view.ts'

const FACTS: readonly (readonly [string, (scale: ShownScale) => string])[] = [
  ['Misses a second', ({ demand }) => rate(demand.missesPerSecond)],
  ['Hit ratio', ({ demand }) => percent(demand.hitRatio)],
  [
    'At backends, mean and p95',
    ({ demand: { concurrency } }) => `${count(concurrency.mean)}, ${count(concurrency.p95)}`,
  ],
  [
    'Service time, mean and p95',
    ({ demand: { serviceMs } }) => `${duration(serviceMs.mean)}, ${duration(serviceMs.p95)}`,
  ],
  [
    'Places needed',
    ({ demand }) => `${count(demand.slotsNeeded)}, ${count(demand.slotsPerReplica)} a replica`,
  ],
  ['Queue', ({ demand }) => count(demand.queue)],
  ['Observed p95', ({ demand }) => duration(demand.observedP95Ms)],
  ['Bounds', ({ min, max }) => `${min} to ${max}`],
  ['Speaks', ({ speaks }) => speaks],
]

class ScalePanel {
  readonly element: HTMLElement
  readonly #badges = el('p', { class: 'badges' })
  readonly #sentence = el('p', { class: 'sentence' })
  readonly #replicas = new Plot({
    title: 'Replicas',
    lines: [
      { label: 'wanted', color: 'line-1', isStepped: true, isFilled: true },
      { label: 'ready', color: 'line-2', isStepped: true },
    ],
    format: count,
    atLeast: 3,
  })
  readonly #misses = new Plot({
    title: 'Misses a second',
    lines: [{ label: 'misses', color: 'line-3', isFilled: true }],
    format: rate,
    atLeast: 5,
  })
  readonly #facts = FACTS.map(() => el('dd'))
  readonly #log = new LogList(20, 'No other number was wanted since the start.')
  #badged = ''

  constructor(pool: string) {
    const facts = FACTS.flatMap(([name], at) => [el('dt', { text: name }), this.#facts[at]])
    this.element = el(
      'section',
      { class: 'panel' },
      el('h2', { text: pool }),
      this.#badges,
      this.#sentence,
      el('div', { class: 'plots' }, this.#replicas.element, this.#misses.element),
      el(
        'div',
        { class: 'halves' },
        el('div', {}, el('h3', { text: 'Behind it' }), el('dl', { class: 'facts' }, ...facts)),
        el('div', {}, el('h3', { text: 'Decisions' }), this.#log.element),
      ),
    )
  }

  update(store: Store, scale: ShownScale): void {
    this.#renderBadges(scale)
    setText(this.#sentence, scale.sentence)
    const history = store.scaleHistory.get(scale.pool) ?? []
    const times = history.map(({ at }) => at / 1000)
    this.#replicas.set([times, history.map(({ desired }) => desired), history.map(({ ready }) => ready)])
    this.#misses.set([times, history.map(({ misses }) => misses)])
    FACTS.forEach(([, show], at) => {
      const place = this.#facts[at]
      if (place) setText(place, show(scale))
    })
    this.#log.set(store.lines.filter(({ event, pool }) => event === 'scale.changed' && pool === scale.pool))
  }

  recolor(): void {
    this.#replicas.recolor()
    this.#misses.recolor()
  }

  #renderBadges({ desired, ready, starting, mode, reason, ...flags }: ShownScale): void {
    const badges = [
      badge(`${desired} wanted`, 'idle'),
      badge(`${ready} ready`, ready >= desired ? 'good' : ready === 0 ? 'bad' : 'busy'),
      ...(starting > 0 ? [badge(`${starting} starting`, 'busy')] : []),
      badge(`${mode}: ${words(reason)}`, mode === 'panic' ? 'bad' : 'idle'),
      ...(flags.isCapped ? [badge('more is needed than is allowed', 'bad')] : []),
      ...(flags.sloFeasible ? [] : [badge('the promise cannot be kept', 'bad')]),
      ...(flags.scalingIneffective ? [badge('the last replicas did not help', 'bad')] : []),
    ]
    const text = badges.map(({ textContent }) => textContent).join()
    if (this.#badged === text) return
    this.#badged = text
    setChildren(this.#badges, badges)
  }
}

export class ScalingView implements View {
  readonly id = 'scaling'
  readonly title = 'Scaling'
  readonly element: HTMLElement
  readonly #panels = new Map<string, ScalePanel>()
  readonly #list = el('div')
  readonly #empty = el('p', {
    class: 'empty',
    text: 'No pool is scaled: give one a “scale” block in the settings, or a model replicas with a minimum below its maximum.',
  })

  constructor() {
    this.element = el('div', {}, this.#list, this.#empty)
  }

  render(store: Store): void {
    const scales = [...store.scales.values()].sort((a, b) => a.pool.localeCompare(b.pool))
    for (const name of this.#panels.keys()) if (!store.scales.has(name)) this.#panels.delete(name)
    const panels = scales.map(({ pool }) => {
      const known = this.#panels.get(pool) ?? new ScalePanel(pool)
      this.#panels.set(pool, known)
      return known
    })
    setChildren(
      this.#list,
      panels.map(({ element }) => element),
    )
    scales.forEach((scale, at) => panels[at]?.update(store, scale))
    this.#empty.hidden = scales.length > 0
  }

  recolor(): void {
    for (const each of this.#panels.values()) each.recolor()
  }
}
