/**
 * Writes the log as JSON lines on standard output, or as text for a person. When the log cannot be written (a full disk, a closed pipe) lines
 * are lost and never a call: the loss is counted and logged once writing works again.
 */
import { destination, pino } from 'pino'
import { CREDENTIAL_FIELDS } from '../core/fields.ts'
import type { Log } from '../core/log.ts'
import { type ProcessLogFormat, textOfLine } from './log-text.ts'
import { RecentLines } from './recent-lines.ts'

export type Level = 'debug' | 'info' | 'warn' | 'error'

export interface ProcessLog extends Log {
  debug(event: string, fields?: Record<string, unknown>): void
  readonly level: Level
  /** Lines that could not be written so far. */
  readonly lost: number
  setLevel(level: Level): void
  /** Writes lines that are JSON already, as far as there is room for them beside the log's own; returns how many were lost. */
  writeLines(lines: readonly string[]): number
  /** What was written last; left out where lines are only passed on. */
  readonly recent?: RecentLines
  /** Writes what is buffered, for at most a second and not at all where writing fails. Nothing is logged afterwards. */
  close(): Promise<void>
}

/** Members of a line that are never shown. */
const SECRETS = [...CREDENTIAL_FIELDS, 'secret', 'password'].map((name) => `["${name}"]`)

/** Bound of the buffer: a reader that has stopped reading must not fill the memory. */
const MAX_BUFFERED_BYTES = 8 * 1024 * 1024
/** The part of it that lines of other kinds may fill. */
const MAX_LINES_BYTES = MAX_BUFFERED_BYTES / 2
const CLOSE_MS = 1_000

export interface LogOptions {
  readonly level: Level
  /** A path or descriptor; standard output by default. */
  readonly file?: string | number
  /** `json` by default. */
  readonly format?: ProcessLogFormat
}

export function createLog(options: LogOptions): ProcessLog {
  let { level } = options
  const recent = new RecentLines()
  const sink = openSink(options.file ?? 1, (lines) => logger.warn({ event: 'log.lost', lines }))
  // As NO_COLOR and the kind of the terminal have it.
  const isColoured = process.stdout.isTTY && process.stdout.hasColors()
  const write =
    options.format === 'text'
      ? (line: string) => sink.write(textOfLine(line, isColoured))
      : (line: string) => sink.write(line)
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
        write(line)
        recent.add(line)
      },
    },
  )
  return {
    recent,
    debug: (event, fields) => logger.debug({ event, ...fields }),
    info: (event, fields) => logger.info({ event, ...fields }),
    warn: (event, fields) => logger.warn({ event, ...fields }),
    error: (event, fields) => logger.error({ event, ...fields }),
    get level() {
      return level
    },
    get lost() {
      return sink.lost
    },
    setLevel(next) {
      level = next
      logger.level = next
    },
    writeLines(lines) {
      let written = 0
      for (const line of lines) {
        if (!sink.hasRoom) break
        write(`${line}\n`)
        written++
      }
      return lines.length - written
    },
    close: () => sink.close(),
  }
}

/** The destination of the lines: buffered, bounded, and never throwing. */
function openSink(file: string | number, lostLines: (count: number) => void) {
  const sink = destination({ dest: file, sync: false, minLength: 0, maxLength: MAX_BUFFERED_BYTES })
  let lost = 0
  let toldLost = 0
  let waitingBytes = 0
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
  sink.on('write', (bytes: number) => {
    waitingBytes -= bytes
  })
  // Lines that could not be written are retried with the next one; only those that do not fit into the buffer are lost.
  sink.on('error', settle).on('drain', settle)
  sink.on('drop', (line: string) => {
    waitingBytes -= Buffer.byteLength(line)
    lost++
  })
  sink.on('drain', () => {
    if (lost === toldLost) return
    const count = lost - toldLost
    toldLost = lost
    lostLines(count)
  })
  return {
    get lost() {
      return lost
    },
    get hasRoom() {
      return waitingBytes < MAX_LINES_BYTES
    },
    write(line: string) {
      if (isClosed) return
      isWriting = true
      waitingBytes += Buffer.byteLength(line)
      sink.write(line)
    },
    async close() {
      if (isWriting) await written()
      isClosed = true
      // If it stayed open, it would be flushed at the exit of the process, which hangs where the disk is full or nobody
      // reads.
      sink.destroy()
    },
  }
}
