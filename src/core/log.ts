/**
 * What a part may say to the log. Parts are given one and never choose where it goes; an event is a fixed,
 * dotted name, and everything that varies is a field, so that logs can be counted.
 */
export interface Log {
  info(event: string, fields?: Record<string, unknown>): void
  warn(event: string, fields?: Record<string, unknown>): void
  error(event: string, fields?: Record<string, unknown>): void
}

/** Says nothing: for tests and for embedding without a log. */
export const silentLog: Log = {
  info() {},
  warn() {},
  error() {},
}
