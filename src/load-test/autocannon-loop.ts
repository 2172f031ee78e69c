/**
 * The closed loop of autocannon, for a second opinion: the same questions by a generator that shares no code with the gateway. It
 * knows HTTP/1.1 in cleartext alone, takes four times the processor time, and forgets a call whose connection the server ends.
 */
import type { Instance, Request } from 'autocannon'
import type { RawPairs } from '../core/call.ts'
import { cacheUse } from './cache-use.ts'
import type { Loop, LoopParts } from './loop.ts'
import type { QuestionSource } from './question-source.ts'
import type { CallEnd, CallFault } from './tally.ts'

export interface AutocannonOptions {
  readonly url: string
  readonly callers: number
  readonly timeoutMs: number
  readonly durationMs: number
}

/** How often autocannon looks whether it was stopped. */
const SAMPLE_MS = 50

export class AutocannonLoop implements Loop {
  readonly #options: AutocannonOptions
  readonly #source: QuestionSource
  readonly #parts: LoopParts
  #instance: Instance | undefined
  #isStopped = false

  constructor(options: AutocannonOptions, source: QuestionSource, parts: LoopParts) {
    this.#options = options
    this.#source = source
    this.#parts = parts
  }

  async run(): Promise<void> {
    const { default: autocannon } = await import('autocannon')
    if (this.#isStopped) return
    const { url, callers, timeoutMs, durationMs } = this.#options
    const { origin, pathname } = new URL(url)
    const { rows } = this.#source.next()
    const seen = { sent: 0, ended: 0 }
    const request: Request = {
      setupRequest: (made) => {
        const { method, target, headers, body } = this.#source.next()
        const path = pathname.replace(/\/$/, '') + target
        seen.sent++
        return {
          ...made,
          method: method as 'POST',
          path,
          headers: namedFields(headers),
          body: body as Buffer,
        }
      },
      onResponse: (_status, _body, _context, headers) => this.#cached(headers as Headers, rows),
    }
    const timeout = Math.max(1, Math.ceil(timeoutMs / 1000))
    const options = { url: origin, connections: callers, duration: FOREVER_S, timeout, sampleInt: SAMPLE_MS }
    await new Promise<void>((resolve) => {
      const instance = autocannon({ ...options, requests: [request] }, () => resolve())
      this.#instance = instance
      instance.on('response', (_client, status, bytes, ms) => {
        seen.ended++
        this.#ended({
          us: ms * 1000,
          status: String(status),
          fault: undefined,
          isError: status >= 300,
          rows,
          bytes,
        })
      })
      instance.on('reqError', (error: NodeJS.ErrnoException) => {
        seen.ended++
        this.#ended({
          us: timeoutMs * 1000,
          status: undefined,
          fault: faultOf(error),
          isError: true,
          rows,
          bytes: 0,
        })
      })
      setTimeout(() => this.stop(), durationMs)
    })
    const { numbers } = this.#parts.tallyAt(performance.now())
    numbers.sent += seen.sent
    numbers.unfinished += Math.max(0, seen.sent - seen.ended)
  }

  stop(): void {
    this.#isStopped = true
    this.#instance?.stop()
  }

  /** What the cache did is told apart from the end of the call, by `onResponse`. */
  #ended(end: Omit<CallEnd, 'cache' | 'written'>): void {
    this.#parts.tallyAt(performance.now()).ended({ ...end, cache: undefined, written: undefined })
  }

  #cached(headers: Headers, rows: number): void {
    const use = cacheUse(
      Object.entries(headers ?? {})
        .flat()
        .map(String),
      rows,
    )
    if (use) this.#parts.tallyAt(performance.now()).cached(use)
  }
}

type Headers = Readonly<Record<string, string | string[]>> | undefined

/** Longer than any test, seconds: its own clock has whole seconds. */
const FOREVER_S = 1e6

function namedFields(headers: RawPairs): Record<string, string> {
  const named: Record<string, string> = {}
  for (let i = 0; i < headers.length; i += 2) named[headers[i] as string] = headers[i + 1] as string
  return named
}

function faultOf({ code, message }: NodeJS.ErrnoException): CallFault {
  if (code === 'ECONNREFUSED') return 'refused'
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'reset'
  return message === 'request timed out' ? 'timeout' : 'other'
}
