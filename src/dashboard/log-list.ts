/** Lines of the log as people read them. */
import { el, setChildren } from './dom.ts'
import { clock, plain } from './format.ts'
import type { LogLineView } from './shown.ts'

/** Members that stand elsewhere in the line, or that are for programs. */
const TOLD = new Set(['level', 'time', 'event', 'generation', 'decisionId'])

/** Lines about single failed attempts have a table of their own. */
export function isNotable({ event, level }: LogLineView): boolean {
  if (event === 'backend.failed' || event === 'call.failed') return false
  return level !== 'info' || NEWS.test(event)
}

const NEWS =
  /^(admin\.write|backend\.(health|registered|gone|removing|ejected|returned)|config\.|deployment|discovery|gateway\.|limits\.|model\.|rollout\.|scale\.changed|shared\.|store\.|tier\.|tls\.|worker\.)/

export class LogList {
  readonly element: HTMLElement
  readonly #list = el('ol', { class: 'log' })
  readonly #empty: HTMLElement
  readonly #max: number
  readonly #items = new WeakMap<LogLineView, HTMLElement>()

  constructor(max: number, empty: string) {
    this.#max = max
    this.#empty = el('p', { class: 'empty', text: empty })
    this.element = el('div', {}, this.#list, this.#empty)
  }

  /** @param lines the newest last; they are shown the other way round */
  set(lines: readonly LogLineView[]): void {
    const newest = lines.slice(-this.#max).toReversed()
    setChildren(
      this.#list,
      newest.map((line) => this.#item(line)),
    )
    this.#empty.hidden = newest.length > 0
  }

  #item(line: LogLineView): HTMLElement {
    const known = this.#items.get(line)
    if (known) return known
    const made = el(
      'li',
      { class: line.level },
      el('time', { datetime: line.time, title: line.time, text: clock(line.time) }),
      el('b', { text: line.event }),
      el('span', { text: fieldsOf(line) }),
    )
    this.#items.set(line, made)
    return made
  }
}

/** The fields of a line; those for people come first, without their names. */
export function fieldsOf(line: LogLineView): string {
  const { sentence, reason, problem, error, pool, backend, id, ...others } = line
  if (sentence !== undefined) return plain(sentence)
  const whom = [pool, backend ?? id].filter((text) => text !== undefined).map(plain)
  const said = [reason, problem, error].filter((text) => text !== undefined).map(plain)
  const fields = Object.entries(others)
    .filter(([name]) => !TOLD.has(name))
    .map(([name, value]) => `${name} ${plain(value)}`)
  return [whom.join('/'), fields.join(', '), ...said].filter(Boolean).join(' · ')
}
