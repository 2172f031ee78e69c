/** A table whose rows are kept and changed in place, sorted by any column, with the mouse or the keyboard. */
import { el, setChildren, setClass, setText, setTitle } from './dom.ts'

export interface TableColumn<T> {
  readonly title: string
  /** What the column is, for who points at its title. */
  readonly hint?: string
  readonly isNumber?: boolean
  /** Left out where the window is narrow. */
  readonly isExtra?: boolean
  readonly show?: (row: T) => string
  /** In place of a text; made anew only when what it is sorted by has changed. */
  readonly make?: (row: T) => Node
  readonly sortBy: (row: T) => string | number
  readonly about?: (row: T) => string
  /** A class of the cell. */
  readonly kind?: (row: T) => string
}

export interface TableOptions<T> {
  readonly label: string
  readonly columns: readonly TableColumn<T>[]
  readonly key: (row: T) => string
  /** Said where there is no row. */
  readonly empty: string
  readonly sort?: { readonly column: number; readonly isDescending: boolean }
  /** A class of the row. */
  readonly kind?: (row: T) => string
}

interface Shown {
  readonly row: HTMLTableRowElement
  readonly cells: readonly HTMLTableCellElement[]
  /** What the cells' elements were made for. */
  readonly made: unknown[]
}

export class DataTable<T> {
  readonly element: HTMLElement
  readonly #options: TableOptions<T>
  readonly #body = el('tbody')
  readonly #empty: HTMLElement
  readonly #table: HTMLTableElement
  readonly #heads: readonly HTMLTableCellElement[]
  readonly #shown = new Map<string, Shown>()
  #rows: readonly T[] = []
  #sort: { column: number; isDescending: boolean } | undefined

  constructor(options: TableOptions<T>) {
    this.#options = options
    this.#sort = options.sort
    this.#empty = el('p', { class: 'empty', text: options.empty })
    this.#heads = options.columns.map((column, at) => this.#head(column, at))
    this.#table = el(
      'table',
      {},
      el('caption', { class: 'hidden', text: options.label }),
      el('thead', {}, el('tr', {}, ...this.#heads)),
      this.#body,
    )
    const scroll = el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': options.label })
    scroll.append(this.#table)
    this.element = el('div', { class: 'data' }, scroll, this.#empty)
    this.#markSorted()
  }

  sortBy(column: number, isDescending: boolean): void {
    this.#sort = { column, isDescending }
    this.#markSorted()
    this.set(this.#rows)
  }

  set(rows: readonly T[]): void {
    this.#rows = rows
    const sorted = this.#sorted()
    const keys = new Set<string>()
    const elements = sorted.map((row) => {
      const key = this.#options.key(row)
      keys.add(key)
      return this.#update(row, this.#shown.get(key) ?? this.#make(key))
    })
    for (const key of this.#shown.keys()) if (!keys.has(key)) this.#shown.delete(key)
    setChildren(this.#body, elements)
    this.#empty.hidden = rows.length > 0
    this.#table.hidden = rows.length === 0
  }

  #head(column: TableColumn<T>, at: number): HTMLTableCellElement {
    const button = el('button', {
      type: 'button',
      text: column.title,
      ...(column.hint === undefined ? {} : { title: column.hint }),
      on: { click: () => this.#toggle(at) },
    })
    return el('th', { scope: 'col', class: classOf(column) }, button)
  }

  #toggle(column: number): void {
    const isNumber = this.#options.columns[column]?.isNumber === true
    const isSame = this.#sort?.column === column
    this.sortBy(column, isSame ? !this.#sort?.isDescending : isNumber)
  }

  #markSorted(): void {
    this.#heads.forEach((head, at) => {
      const isSorted = this.#sort?.column === at
      head.setAttribute(
        'aria-sort',
        isSorted ? (this.#sort?.isDescending ? 'descending' : 'ascending') : 'none',
      )
    })
  }

  #sorted(): readonly T[] {
    const sort = this.#sort
    const column = sort && this.#options.columns[sort.column]
    if (!column) return this.#rows
    const sign = sort.isDescending ? -1 : 1
    return [...this.#rows].sort((a, b) => sign * compare(column.sortBy(a), column.sortBy(b)))
  }

  #make(key: string): Shown {
    const cells = this.#options.columns.map((column) => el('td', { class: classOf(column) }))
    const made = { row: el('tr', {}, ...cells), cells, made: [] }
    this.#shown.set(key, made)
    return made
  }

  #update(row: T, shown: Shown): HTMLTableRowElement {
    this.#options.columns.forEach((column, at) => {
      const cell = shown.cells[at]
      if (!cell) return
      const kind = column.kind?.(row)
      setClass(cell, [classOf(column), kind].filter(Boolean).join(' '))
      if (column.about) setTitle(cell, column.about(row))
      if (!column.make) return setText(cell, column.show?.(row) ?? '')
      const sortedBy = column.sortBy(row)
      if (shown.made[at] === sortedBy) return
      shown.made[at] = sortedBy
      cell.replaceChildren(column.make(row))
    })
    setClass(shown.row, this.#options.kind?.(row) ?? '')
    return shown.row
  }
}

function classOf<T>({ isNumber, isExtra }: TableColumn<T>): string {
  return [isNumber ? 'number' : '', isExtra ? 'extra' : ''].filter(Boolean).join(' ')
}

function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return String(a).localeCompare(String(b), 'en', { numeric: true })
}
