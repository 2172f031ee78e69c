/** The rows of the board for Grafana and their panels, as data; board.ts makes the JSON of it. */

/** Grafana's words for units. */
export type Unit = 'short' | 'reqps' | 's' | 'percentunit' | 'bytes' | 'ops' | 'dateTimeFromNow' | 'none'

export interface Query {
  readonly expr: string
  /** `{{label}}` is the value of a label. */
  readonly legend: string
}

export interface Panel {
  readonly title: string
  readonly description: string
  readonly unit: Unit
  readonly kind?: 'timeseries' | 'stat' | 'table'
  readonly isStacked?: boolean
  /** Of the 24 columns; default 8. */
  readonly width?: number
  readonly queries: readonly Query[]
}

export interface Row {
  readonly title: string
  readonly panels: readonly Panel[]
}
