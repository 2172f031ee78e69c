/** Rollouts, of the overview: how much of the calls has moved, and what each says. Hidden while there is none. */
import type { RolloutView } from '../core/live.ts'
import { badge, el, setChildren } from './dom.ts'
import type { Store } from './store.ts'

const KINDS: Readonly<Record<string, 'good' | 'bad' | 'busy'>> = { done: 'good', back: 'bad' }

export class RolloutPanel {
  readonly element: HTMLElement
  readonly #list = el('div')
  #shown = ''

  constructor() {
    this.element = el('section', { class: 'panel' }, el('h2', { text: 'Rollouts' }), this.#list)
    this.element.hidden = true
  }

  render({ rollouts }: Store): void {
    const all = [...rollouts.values()].sort((a, b) => a.route.localeCompare(b.route))
    const shown = JSON.stringify(
      all.map(({ route, sharePercent, sentence, phase, isPaused }) => [
        route,
        sharePercent,
        sentence,
        phase,
        isPaused,
      ]),
    )
    if (shown === this.#shown) return
    this.#shown = shown
    this.element.hidden = all.length === 0
    setChildren(this.#list, all.map(cardOf))
  }
}

function cardOf({ route, from, to, phase, isPaused, sharePercent, sentence }: RolloutView): HTMLElement {
  return el(
    'div',
    {},
    el('h3', { text: `${route}: ${from} → ${to}` }),
    el(
      'p',
      { class: 'badges' },
      badge(isPaused ? 'paused' : phase, KINDS[phase] ?? 'busy'),
      badge(`${sharePercent} % of the calls`, 'idle'),
    ),
    el('p', { class: 'sentence', text: sentence }),
  )
}
