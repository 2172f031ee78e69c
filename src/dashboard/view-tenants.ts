/** Tenants: what each has used, been saved and been refused. */
import { el, panel } from './dom.ts'
import { count, percent, rate } from './format.ts'
import { hitRatioOf, type ShownTenant, savedRows, totalOf } from './shown.ts'
import type { Store } from './store.ts'
import { DataTable, type TableColumn } from './table.ts'
import type { View } from './view.ts'

export class TenantsView implements View {
  readonly id = 'tenants'
  readonly title = 'Tenants'
  readonly element: HTMLElement
  readonly filter = el('input', {
    type: 'search',
    placeholder: 'Filter by tenant',
    'aria-label': 'Filter tenants',
  })
  readonly #missing = el('p', {
    class: 'note',
    text: 'The token lacks the scope “tenants”, which shows what each has used.',
  })
  readonly #table: DataTable<ShownTenant>

  constructor({ store }: { readonly store: Store }) {
    this.#table = new DataTable<ShownTenant>({
      label: 'Tenants',
      key: ({ tenant }) => tenant,
      empty: 'The settings name no tenant, and nobody was asked who they are.',
      sort: { column: 2, isDescending: true },
      columns: columnsOf((tenant) => store.perSecond(`tenant ${tenant}`)),
    })
    this.filter.addEventListener('input', () => this.render(store))
    this.element = el(
      'div',
      {},
      el('div', { class: 'tools' }, this.filter),
      panel('Tenants', this.#missing, this.#table.element),
    )
  }

  render(store: Store): void {
    const wanted = this.filter.value.trim().toLowerCase()
    const isAllowed = store.allows('tenants')
    this.#missing.hidden = isAllowed
    this.#table.element.hidden = !isAllowed
    this.#table.set([...store.tenants.values()].filter(({ tenant }) => tenant.toLowerCase().includes(wanted)))
  }
}

const TOTALS: readonly TableColumn<ShownTenant>[] = [
  {
    title: 'Calls',
    isNumber: true,
    show: ({ calls }) => count(totalOf(calls)),
    sortBy: ({ calls }) => totalOf(calls),
  },
  {
    title: 'Hit ratio',
    isNumber: true,
    show: ({ calls }) => percent(hitRatioOf(calls)),
    sortBy: ({ calls }) => hitRatioOf(calls) ?? -1,
  },
  {
    title: 'Rows',
    isNumber: true,
    show: ({ rows }) => count(totalOf({ ...rows })),
    sortBy: ({ rows }) => totalOf({ ...rows }),
  },
  {
    title: 'Rows saved',
    isNumber: true,
    show: ({ rows }) => count(savedRows(rows)),
    sortBy: ({ rows }) => savedRows(rows),
  },
  {
    title: 'Tokens',
    hint: 'That backends have taken',
    isNumber: true,
    isExtra: true,
    show: ({ tokens }) => count(totalOf(tokens)),
    sortBy: ({ tokens }) => totalOf(tokens),
  },
  {
    title: 'Tokens saved',
    isNumber: true,
    isExtra: true,
    show: ({ savedTokens }) => count(totalOf(savedTokens)),
    sortBy: ({ savedTokens }) => totalOf(savedTokens),
  },
  {
    title: 'ApiError',
    isNumber: true,
    show: ({ refused }) => count(totalOf(refused)),
    sortBy: ({ refused }) => totalOf(refused),
    about: refusals,
    kind: ({ refused }) => (totalOf(refused) > 0 ? 'busy' : ''),
  },
  { title: 'Why', isExtra: true, show: refusals, sortBy: refusals, kind: () => 'why' },
]

function columnsOf(perSecond: (tenant: string) => number): readonly TableColumn<ShownTenant>[] {
  return [
    {
      title: 'Tenant',
      show: ({ tenant }) => (tenant === '*' ? '* (all others)' : tenant),
      sortBy: ({ tenant }) => tenant,
      kind: () => 'name',
    },
    {
      title: 'Calls/s',
      isNumber: true,
      show: (row) => rate(perSecond(row.tenant)),
      sortBy: (row) => perSecond(row.tenant),
    },
    ...TOTALS,
  ]
}

function refusals({ refused }: ShownTenant): string {
  return Object.entries(refused)
    .map(([why, number]) => `${why} ${count(number)}`)
    .join(', ')
}
