/** Pools and their backends: how each is and why, with drain and weight. */
import { askedNumber, confirmed } from './dialogs.ts'
import { badge, el, panel, setChildren, setText } from './dom.ts'
import { count, duration, rate } from './format.ts'
import { type BackendEntry, backendsOf, kindOfState } from './states.ts'
import type { Store } from './store.ts'
import { DataTable, type TableColumn } from './table.ts'
import type { Acting, View } from './view.ts'

const COLUMNS: readonly TableColumn<BackendEntry>[] = [
  {
    title: 'State',
    make: ({ state }) => badge(state, kindOfState(state)),
    sortBy: ({ state }) => state,
    about: ({ reason }) => reason,
  },
  {
    title: 'Backend',
    show: ({ id }) => id,
    sortBy: ({ id }) => id,
    kind: () => 'name',
    about: addressOf,
  },
  {
    title: 'Calls/s',
    isNumber: true,
    show: ({ perSecond }) => rate(perSecond),
    sortBy: ({ perSecond }) => perSecond,
  },
  {
    title: 'Failed/s',
    isNumber: true,
    show: ({ failedPerSecond }) => rate(failedPerSecond),
    sortBy: ({ failedPerSecond }) => failedPerSecond,
    kind: ({ failedPerSecond }) => (failedPerSecond > 0 ? 'bad' : ''),
  },
  {
    title: 'In flight',
    isNumber: true,
    hint: 'Calls that it has now, and the most it gets at a time',
    show: ({ inflight, limit }) =>
      limit === undefined ? count(inflight) : `${count(inflight)} / ${count(limit)}`,
    sortBy: ({ inflight }) => inflight,
  },
  {
    title: 'Latency',
    isNumber: true,
    show: ({ latencyMs }) => duration(latencyMs),
    sortBy: ({ latencyMs }) => latencyMs ?? -1,
  },
  {
    title: 'Weight',
    isNumber: true,
    hint: 'As it is set; in force where that differs, as in a slow start',
    show: ({ backend, share }) =>
      share === backend.weight ? count(share) : `${count(backend.weight)} → ${count(share)}`,
    sortBy: ({ share }) => share,
  },
  { title: 'Models', isExtra: true, show: modelsOf, sortBy: modelsOf, about: modelsOf },
  { title: 'Labels', isExtra: true, show: marksOf, sortBy: marksOf },
  {
    title: 'Why',
    isExtra: true,
    show: whyOf,
    sortBy: whyOf,
    kind: () => 'why',
  },
]

interface PoolPanel {
  readonly element: HTMLElement
  readonly note: HTMLElement
  readonly table: DataTable<BackendEntry>
}

export class PoolsView implements View {
  readonly id = 'pools'
  readonly title = 'Pools'
  readonly element: HTMLElement
  readonly filter = el('input', {
    type: 'search',
    placeholder: 'Filter by id, state, model, zone or label',
    'aria-label': 'Filter backends',
  })
  readonly #acting: Acting
  readonly #panels = new Map<string, PoolPanel>()
  readonly #list = el('div')
  readonly #empty = el('p', { class: 'empty', text: 'No pool is configured.' })

  constructor(acting: Acting) {
    this.#acting = acting
    this.filter.addEventListener('input', () => this.render(acting.store))
    this.element = el('div', {}, el('div', { class: 'tools' }, this.filter), this.#list, this.#empty)
  }

  render(store: Store): void {
    const names = [...store.pools.keys()].sort((a, b) => a.localeCompare(b))
    const panels = names.map((pool) => this.#panels.get(pool) ?? this.#made(pool))
    for (const name of this.#panels.keys()) if (!store.pools.has(name)) this.#panels.delete(name)
    setChildren(
      this.#list,
      panels.map(({ element }) => element),
    )
    this.#empty.hidden = names.length > 0
    names.forEach((pool, at) => {
      const found = panels[at]
      if (found) this.#update(store, pool, found)
    })
  }

  #update(store: Store, pool: string, { note, table }: PoolPanel): void {
    const all = backendsOf(store, pool)
    const wanted = this.filter.value.trim().toLowerCase()
    const rows = wanted === '' ? all : all.filter((row) => textOf(row).includes(wanted))
    const ready = all.filter(({ state }) => kindOfState(state) === 'good').length
    const { queued = 0, retriesLeft = 0, panic, failing } = store.traffic.get(pool) ?? {}
    const { preservation } = store.pools.get(pool) ?? {}
    setText(
      note,
      [
        `${ready} of ${all.length} take calls`,
        `${count(queued)} queued`,
        `${count(retriesLeft)} retries left`,
        panic ? 'panic: most are ejected, so nobody is spared' : '',
        failing ? 'most calls fail, so nobody is ejected for it' : '',
        preservation ?? '',
        rows.length < all.length ? `${rows.length} shown` : '',
      ]
        .filter(Boolean)
        .join(' · '),
    )
    table.set(rows)
  }

  #made(pool: string): PoolPanel {
    const table = new DataTable<BackendEntry>({
      label: `Backends of ${pool}`,
      key: ({ id }) => id,
      empty: 'No backend is here: none is configured, found or registered, or none matches the filter.',
      sort: { column: 1, isDescending: false },
      columns: [
        ...COLUMNS,
        {
          title: 'Change',
          make: (row) => this.#buttons(row),
          sortBy: ({ backend }) => `${backend.state} ${this.#acting.store.allows(`register:${pool}`)}`,
        },
      ],
    })
    const note = el('p', { class: 'note' })
    const made = { element: panel(pool, note, table.element), note, table }
    this.#panels.set(pool, made)
    return made
  }

  #buttons({ pool, id, backend }: BackendEntry): Node {
    const { store } = this.#acting
    const mayNot = store.allows(`register:${pool}`) ? undefined : `the token lacks the scope register:${pool}`
    const isDraining = backend.state === 'draining'
    const button = (text: string, about: string, run: () => Promise<void>) =>
      el('button', {
        type: 'button',
        text,
        title: mayNot ?? about,
        'aria-label': `${text} ${id}`,
        disabled: mayNot !== undefined,
        on: { click: () => void run() },
      })
    return el(
      'span',
      { class: 'buttons' },
      isDraining
        ? button('Return', 'Give it calls again', () => this.#patch(pool, id, { state: 'ready' }))
        : button('Drain', 'Give it no new calls', () => this.#drain(pool, id)),
      button('Weight', 'Change its share of the calls', () => this.#weigh(pool, id)),
    )
  }

  async #drain(pool: string, id: string): Promise<void> {
    const question = `Drain ${id}? It gets no new calls of ${pool} until it is returned.`
    if (await confirmed(question, 'Drain')) await this.#patch(pool, id, { state: 'draining' })
  }

  async #weigh(pool: string, id: string): Promise<void> {
    const { store } = this.#acting
    const value = store.pools.get(pool)?.backends.find((backend) => backend.id === id)?.weight ?? 1
    const weight = await askedNumber(`Weight of ${id}, 0.01 to 1000`, { value, min: 0.01, max: 1000 })
    if (weight !== undefined) await this.#patch(pool, id, { weight })
  }

  #patch(pool: string, id: string, change: object): Promise<void> {
    const { connection, act } = this.#acting
    const path = `/api/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(id)}`
    return act(`${id}: ${Object.entries(change).flat().join(' ')}`, () =>
      connection.ask('PATCH', path, change),
    )
  }
}

/** That a backend is well needs no words. */
function whyOf({ state, reason }: BackendEntry): string {
  return kindOfState(state) === 'good' ? '' : reason
}

function addressOf({ backend: { url, grpc, source } }: BackendEntry): string {
  return [url, grpc, source].filter((text) => text !== undefined).join(', ')
}

function modelsOf({ backend: { models } }: BackendEntry): string {
  return models.map(({ name, version }) => (version === undefined ? name : `${name} v${version}`)).join(', ')
}

function marksOf({ backend: { zone, labels } }: BackendEntry): string {
  const marks = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
  return [...(zone === undefined ? [] : [zone]), ...marks].join(', ')
}

function textOf(row: BackendEntry): string {
  return [row.id, row.state, row.reason, modelsOf(row), marksOf(row)].join(' ').toLowerCase()
}
