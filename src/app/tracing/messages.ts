/** What is said between the control thread and the thread that sends traces. */
export interface ExportStart {
  /** Undefined: where the variables of OpenTelemetry say. */
  readonly url: string | undefined
  readonly version: string
}

/** Traced calls as JSON, or the wish to end. */
export type ToExport = { readonly calls: readonly string[] } | 'close'

/** So many calls were sent, or lost. */
export interface FromExport {
  readonly outcome: 'exported' | 'lost'
  readonly calls: number
}
