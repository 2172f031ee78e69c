/**
 * Names of the log's files. A whole file is `ROUTE-UTC-PID-SEQ.jsonl`. While it is written its name begins with a dot, which
 * Spark and Hadoop leave out, and ends with the machine's name: what a dead process has left is told by both.
 */

export type LogFormat = 'jsonl' | 'tfrecord'

export interface FileOwner {
  /** The machine's name, of letters, digits, "_" and "-". */
  readonly host: string
  readonly pid: number
}

export interface NamedFile {
  readonly route: string
  readonly format: LogFormat
  /** Wall time at which it was opened, in milliseconds. */
  readonly openedAt: number
  /** Number of the file among those of its process. */
  readonly seq: number
}

/** The name of a whole file. */
export function nameOf({ route, format, openedAt, seq }: NamedFile, { pid }: FileOwner): string {
  const utc = new Date(openedAt).toISOString().replace(/\.\d+|[-:]/g, '')
  return `${sanitized(route)}-${utc}-${pid}-${String(seq).padStart(6, '0')}.${format}`
}

/** The name of the same file while it is written. */
export function hiddenName(name: string, { host }: FileOwner): string {
  return `.${name}.${host}`
}

export interface HiddenFile extends FileOwner {
  readonly hidden: string
  /** Its name once it is whole. */
  readonly name: string
  readonly format: LogFormat
}

/** Undefined: not a hidden file of the log. */
export function readHidden(hidden: string): HiddenFile | undefined {
  const [, name, pid, format, host] = HIDDEN.exec(hidden) ?? []
  if (name === undefined || host === undefined) return undefined
  return { hidden, name, host, pid: Number(pid), format: format as LogFormat }
}

const HIDDEN = /^\.([A-Za-z0-9_.-]+-\d{8}T\d{6}Z-(\d{1,10})-\d{6,}\.(jsonl|tfrecord))\.([A-Za-z0-9_-]+)$/

/** For file names: routes are named by the same rules in the YAML, but settings may be made by programs. */
export function sanitized(text: string): string {
  return text.replace(/[^A-Za-z0-9_.-]/g, '_')
}

/** A machine's name as file names have it: without dots. */
export function hostOf(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, '_')
}
