/**
 * The logger that every part is given. An event is a fixed, dotted name, and everything that varies is a field, so that
 * log lines can be counted.
 */
export interface Log {
  info(event: string, fields?: Record<string, unknown>): void
  warn(event: string, fields?: Record<string, unknown>): void
  error(event: string, fields?: Record<string, unknown>): void
}

/** Discards everything: for tests and for embedding without a log. */
export const silentLog: Log = {
  info() {},
  warn() {},
  error() {},
}
