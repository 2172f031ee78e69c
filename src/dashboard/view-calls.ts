/** Calls that were slow, failed or in the sample, and the look-up of one by its id: where its time went. */
import type { CallLine } from '../core/call-line.ts'
import { badge, el, panel, setChildren } from './dom.ts'
import { bytes, clock, count, duration } from './format.ts'
import type { StateKind } from './states.ts'
import type { Store } from './store.ts'
import { DataTable } from './table.ts'
import type { Acting, View } from './view.ts'

const STAGES = ['receive', 'cache', 'wait', 'queue', 'connect', 'firstByte', 'transfer'] as const
const ORDERS = ['newest', 'slowest'] as const

export class CallsView implements View {
  readonly id = 'calls'
  readonly title = 'Calls'
  readonly element: HTMLElement
  readonly filter = el('input', {
    id: 'call-id',
    type: 'search',
    placeholder: 'X-Request-Id or trace id',
    autocomplete: 'off',
    spellcheck: 'false',
  })
  readonly #acting: Acting
  readonly #order = el('select', { id: 'call-order' }, ...ORDERS.map((text) => el('option', { text })))
  readonly #note = el('p', { class: 'note', role: 'status' })
  readonly #one = el('div', { 'aria-live': 'polite' })
  readonly #table: DataTable<CallLine>
  /** As the API answered last; undefined: it was not asked yet. */
  #asked: readonly CallLine[] | undefined

  constructor(acting: Acting) {
    this.#acting = acting
    this.#table = callTable((call) => this.#show(call))
    const form = el(
      'form',
      { class: 'fields' },
      el('label', { for: 'call-id', class: 'wide' }, 'Find one call by its id', this.filter),
      el('button', { type: 'submit', class: 'primary', text: 'Find' }),
      el('label', { for: 'call-order' }, 'List', this.#order),
    )
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#find(this.filter.value.trim())
    })
    this.#order.addEventListener('change', () => void this.#list())
    this.element = el(
      'div',
      {},
      panel('Look up', form, this.#note),
      this.#one,
      panel('Slow, failed and sampled calls', legend(), this.#table.element),
    )
  }

  render(store: Store): void {
    if (store.caller && !this.#asked) {
      this.#asked = []
      void this.#list()
    }
    const known = new Set(this.#asked?.map(({ requestId, time }) => `${requestId} ${time}`))
    const newer = store.calls.filter(({ requestId, time }) => !known.has(`${requestId} ${time}`))
    this.#table.set([...(this.#asked ?? []), ...newer])
  }

  async #list(): Promise<void> {
    const order = this.#order.value
    this.#asked = await this.#ask(`order=${order}&limit=200`)
    this.#table.sortBy(order === 'slowest' ? 5 : 0, true)
    this.render(this.#acting.store)
  }

  async #find(id: string): Promise<void> {
    const [call] = id === '' ? [] : await this.#ask(`id=${encodeURIComponent(id)}`)
    this.#note.textContent =
      call || id === ''
        ? ''
        : `No call is known by ${id}: it was neither slow, failed nor in the sample, or it is long ago.`
    this.#show(call)
  }

  async #ask(query: string): Promise<readonly CallLine[]> {
    try {
      const answer = await this.#acting.connection.ask('GET', `/api/v1/calls?${query}`)
      this.#note.textContent = ''
      return (answer as { readonly calls: readonly CallLine[] }).calls
    } catch (error) {
      this.#note.textContent = (error as Error).message
      return []
    }
  }

  #show(call: CallLine | undefined): void {
    setChildren(this.#one, call ? [described(call)] : [])
    if (call) this.#one.scrollIntoView({ block: 'nearest' })
  }
}

function callTable(show: (call: CallLine) => void): DataTable<CallLine> {
  return new DataTable<CallLine>({
    label: 'Calls',
    key: ({ requestId, time }) => `${requestId} ${time}`,
    empty:
      'None yet: with the setting log.access, calls that are slow or fail are kept here, and a share of the others.',
    sort: { column: 0, isDescending: true },
    columns: [
      { title: 'Time', show: ({ time }) => clock(time), sortBy: ({ time }) => time },
      {
        title: 'Request id',
        make: (call) =>
          el('button', {
            type: 'button',
            class: 'link',
            text: call.requestId,
            on: { click: () => show(call) },
          }),
        sortBy: ({ requestId }) => requestId,
      },
      { title: 'Route', isExtra: true, show: ({ route = '–' }) => route, sortBy: ({ route = '' }) => route },
      {
        title: 'Status',
        make: ({ status }) => badge(String(status), kindOf(status)),
        sortBy: ({ status }) => status,
      },
      { title: 'Outcome', show: ({ outcome }) => outcome, sortBy: ({ outcome }) => outcome },
      { title: 'Took', isNumber: true, show: ({ ms }) => duration(ms), sortBy: ({ ms }) => ms },
      { title: 'Where', make: stageBar, sortBy: ({ requestId }) => requestId },
      { title: 'Backend', isExtra: true, show: backendsIn, sortBy: backendsIn, kind: () => 'name' },
    ],
  })
}

function described(call: CallLine): HTMLElement {
  const { requestId, traceId, tenant, route, protocol, model, method, path, outcome, tier } = call
  const stages = STAGES.flatMap((stage) => {
    const ms = call.stages[stage]
    return ms === undefined ? [] : [`${stage} ${duration(ms)}`]
  })
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Asked', `${method} ${path}`],
    ['Route', [route, protocol, model].filter((text) => text !== undefined).join(', ')],
    ['Tenant', tenant],
    ['Trace', traceId],
    ['Cache', `${outcome}${tier === undefined ? '' : ` in ${tier}`}, ${count(call.rows)} rows`],
    ['Bytes', `${bytes(call.bytes.in)} in, ${bytes(call.bytes.out)} out`],
    ['Took', `${duration(call.ms)}: ${stages.join(', ')}`],
    ['Error', call.fault],
    ...call.attempts.map(
      ({ backend, ending, at, ms }, number) =>
        [
          `Attempt ${number + 1}`,
          `${backend}: ${ending} after ${duration(ms)}, begun at ${duration(at)}`,
        ] as const,
    ),
  ]
  const list = facts.flatMap(([name, text]) =>
    text === undefined || text === '' ? [] : [el('dt', { text: name }), el('dd', { text })],
  )
  const title = `${requestId}: ${call.status}, ${clock(call.time)}`
  const found = panel(title, stageBar(call), el('dl', { class: 'facts' }, ...list))
  found.classList.add(kindOf(call.status) === 'good' ? 'good' : 'busy')
  return found
}

/** The stages of a call in the order of time, each as wide as its share; what is left is the gateway's own work. */
function stageBar({ stages, ms }: CallLine): HTMLElement {
  const parts = STAGES.flatMap((stage) => {
    const took = stages[stage] ?? 0
    if (took <= 0) return []
    const part = el('i', { class: `stage ${stage}`, title: `${stage} ${duration(took)}` })
    part.style.width = `${Math.min(100, (100 * took) / Math.max(ms, 0.001))}%`
    return [part]
  })
  const said = STAGES.flatMap((stage) => (stages[stage] ? [`${stage} ${duration(stages[stage])}`] : []))
  return el('span', { class: 'stages', role: 'img', 'aria-label': said.join(', ') || 'no stage' }, ...parts)
}

function legend(): HTMLElement {
  return el(
    'p',
    { class: 'legend' },
    ...STAGES.map((stage) => el('span', {}, el('i', { class: `swatch stage ${stage}` }), stage)),
  )
}

function backendsIn({ attempts }: CallLine): string {
  return attempts.map(({ backend }) => backend).join(', ')
}

function kindOf(status: number): StateKind {
  if (status < 400) return 'good'
  return status < 499 ? 'busy' : 'bad'
}
