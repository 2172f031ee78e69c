/** What went wrong at a store. There is one class; the fault is also a label of the metric. */

export const STORE_FAULTS = [
  /** No connection, no answer in time, or a fault of the server's own (5xx): it is asked again. */
  'unreachable',
  /** The path is not there. */
  'missing',
  /** The server does not let this user do it. */
  'denied',
  /** The answer breaks the protocol, or leads where the gateway does not go. */
  'invalid',
  /** The file is still being written, or changed while it was read. */
  'incomplete',
  /** The file, the listing or the local store is larger than the settings allow. */
  'tooLarge',
  /** The folder on this machine could not be read or written. */
  'local',
] as const

export type StoreFault = (typeof STORE_FAULTS)[number]

export interface StoreErrorDetail {
  readonly cause?: unknown
  /** True when no byte of the request was sent, so that any request may be sent again. */
  readonly unsent?: boolean
}

/** The message is for the log: it names operation, host and path, never a query or a credential. */
export class StoreError extends Error {
  readonly fault: StoreFault
  readonly unsent: boolean

  constructor(fault: StoreFault, message: string, { cause, unsent = false }: StoreErrorDetail = {}) {
    super(message, { cause })
    this.name = 'StoreError'
    this.fault = fault
    this.unsent = unsent
  }
}
