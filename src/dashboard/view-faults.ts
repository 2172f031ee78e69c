/** What went wrong: errors by code, attempts that failed, and what the log says. */
import { el, panel } from './dom.ts'
import { clock, count, plain, rate } from './format.ts'
import { isNotable, LogList } from './log-list.ts'
import type { LogLineView } from './shown.ts'
import type { Store } from './store.ts'
import { DataTable } from './table.ts'
import type { View } from './view.ts'

interface FaultRow {
  readonly fault: string
  readonly route: string
  readonly perSecond: number
  readonly count: number
}

const MAX_FAILED = 50

export class FaultsView implements View {
  readonly id = 'faults'
  readonly title = 'Faults'
  readonly element: HTMLElement
  readonly #faults = new DataTable<FaultRow>({
    label: 'Errors by code',
    key: ({ route, fault }) => `${route} ${fault}`,
    empty: 'The gateway has answered no call with an error of its own.',
    sort: { column: 3, isDescending: true },
    columns: [
      { title: 'Code', show: ({ fault }) => fault, sortBy: ({ fault }) => fault, kind: () => 'name' },
      { title: 'Route', show: ({ route }) => route, sortBy: ({ route }) => route },
      {
        title: 'A second',
        isNumber: true,
        show: ({ perSecond }) => rate(perSecond),
        sortBy: ({ perSecond }) => perSecond,
      },
      {
        title: 'Since the start',
        isNumber: true,
        show: (row) => count(row.count),
        sortBy: (row) => row.count,
      },
    ],
  })
  readonly #failed = new DataTable<LogLineView>({
    label: 'Attempts that failed',
    key: ({ time, pool, backend, fault }) => `${time} ${plain(pool)} ${plain(backend)} ${plain(fault)}`,
    empty: 'No attempt at a backend has failed.',
    sort: { column: 0, isDescending: true },
    columns: [
      { title: 'Time', show: ({ time }) => clock(time), sortBy: ({ time }) => time },
      { title: 'Pool', show: ({ pool }) => plain(pool), sortBy: ({ pool }) => plain(pool) },
      {
        title: 'Backend',
        show: ({ backend }) => plain(backend),
        sortBy: ({ backend }) => plain(backend),
        kind: () => 'name',
      },
      { title: 'Code', show: ({ fault }) => plain(fault), sortBy: ({ fault }) => plain(fault) },
      {
        title: 'Why',
        show: ({ reason }) => plain(reason),
        sortBy: ({ reason }) => plain(reason),
        kind: () => 'why',
      },
    ],
  })
  readonly #log = new LogList(100, 'Nothing notable has happened.')

  constructor() {
    this.element = el(
      'div',
      {},
      panel('Errors by code', this.#faults.element),
      panel(
        'Attempts that failed',
        el('p', {
          class: 'note',
          text: 'One of a kind each ten seconds at most; a call whose attempt failed may have been answered by another.',
        }),
        this.#failed.element,
      ),
      panel('Notable events', this.#log.element),
    )
  }

  render(store: Store): void {
    this.#faults.set(
      [...store.faults.values()].map((fault) => ({
        ...fault,
        perSecond: store.perSecond(`fault ${fault.route} ${fault.fault}`),
      })),
    )
    this.#failed.set(store.lines.filter(({ event }) => event === 'backend.failed').slice(-MAX_FAILED))
    this.#log.set(store.lines.filter(isNotable))
  }
}
