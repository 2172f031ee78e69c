/**
 * JSON lines on standard output, one event a line. A log that cannot be written (a full disk, a closed pipe)
 * costs lines and never a call: the loss is counted and said once writing works again.
 */
import { destination, pino } from 'pino'
import { CREDENTIAL_FIELDS } from '../core/fields.ts'
import type { Log } from '../core/log.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error'

export interface ProcessLog extends Log {
  debug(event: string, fields?: Record<string, unknown>): void
  readonly level: Level
  setLevel(level: Level): void
  /** Waits until what is buffered is written, at most a second, and not at all where it cannot be; then says no more. */
  close(): Promise<void>
}

/** Members of a line that are never shown. */
const SECRETS = [...CREDENTIAL_FIELDS, 'secret', 'password'].map((name) => `["${name}"]`)

/** What may wait to be written; a reader that has stopped reading must not take all memory. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024
const CLOSE_MS = 1_000

/** `file`: a path or descriptor; standard output by default. */
export function createLog(options: { readonly level: Level; readonly file?: string | number }): ProcessLog {
  let { level } = options
  const sink = openSink(options.file ?? 1, (lines) => logger.warn({ event: 'log.lost', lines }))
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRETS, censor: '[redacted]' },
    },
    {
      write(line: string) {
        sink.write(line)
      },
    },
  )
  return {
    debug: (event, fields) => logger.debug({ event, ...fields }),
    info: (event, fields) => logger.info({ event, ...fields }),
    warn: (event, fields) => logger.warn({ event, ...fields }),
    error: (event, fields) => logger.error({ event, ...fields }),
    get level() {
      return level
    },
    setLevel(next) {
      level = next
      logger.level = next
    },
    close: () => sink.close(),
  }
}

/** Where the lines go: buffered, bounded, and without a way to fail. */
function openSink(file: string | number, lostLines: (count: number) => void) {
  const sink = destination({ dest: file, sync: false, minLength: 0, maxLength: MAX_BUFFERED_BYTES })
  let lost = 0
  let isWriting = false
  let isClosed = false
  const waiting: (() => void)[] = []
  const settle = () => {
    isWriting = false
    for (const done of waiting.splice(0)) done()
  }
  const written = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_MS)
      waiting.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  // What could not be written is tried again with the next line; only what no longer fits is lost.
  sink.on('error', settle).on('drain', settle)
  sink.on('drop', () => {
    lost++
  })
  sink.on('drain', () => {
    if (lost === 0) return
    const count = lost
    lost = 0
    lostLines(count)
  })
  return {
    write(line: string) {
      if (isClosed) return
      isWriting = true
      sink.write(line)
    },
    async close() {
      if (isWriting) await written()
      isClosed = true
      // Left open, it would be flushed when the process exits: for ever, where the disk is full or nobody reads.
      sink.destroy()
    },
  }
}
