/**
 * The last calls that were worth telling of: slow, failed or in the sample. A bounded ring, so that an id on an answer leads to
 * what became of its call without a log being read.
 */
import type { CallLine } from '../../core/call-line.ts'

/** Left out: of any. */
export interface CallQuery {
  readonly route?: string | undefined
  /** A status such as `504`, or a class such as `5xx`. */
  readonly status?: string | undefined
  /** Asked in any attempt. */
  readonly backend?: string | undefined
  readonly tenant?: string | undefined
  readonly model?: string | undefined
  /** A request id or a trace id. */
  readonly id?: string | undefined
  /** Milliseconds that a call took at least. */
  readonly slower?: number | undefined
}

export type CallOrder = 'newest' | 'slowest'

const SIZE = 1000

export class CallHistory {
  readonly #size: number
  readonly #ring: CallLine[] = []
  #next = 0

  /** `size`: how many calls are kept. */
  constructor(size = SIZE) {
    this.#size = size
  }

  add(line: CallLine): void {
    this.#ring[this.#next] = line
    this.#next = (this.#next + 1) % this.#size
  }

  /** Those that fit, in this order, at most so many. */
  list(
    query: CallQuery,
    { order, limit }: { readonly order: CallOrder; readonly limit: number },
  ): CallLine[] {
    const found = this.#newest().filter((line) => fits(line, query))
    if (order === 'slowest') found.sort((a, b) => b.ms - a.ms)
    return found.slice(0, limit)
  }

  #newest(): CallLine[] {
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)].toReversed()
  }
}

export function fits(line: CallLine, query: CallQuery): boolean {
  const { route, status, backend, tenant, model, id, slower } = query
  return (
    (route === undefined || line.route === route) &&
    (tenant === undefined || line.tenant === tenant) &&
    (model === undefined || line.model === model) &&
    (id === undefined || line.requestId === id || line.traceId === id) &&
    (slower === undefined || line.ms >= slower) &&
    (status === undefined || isStatus(line.status, status)) &&
    (backend === undefined || line.attempts.some((attempt) => attempt.backend === backend))
  )
}

/** Whether the text is a status or a class of them. */
export const STATUS = /^[1-9](?:\d\d|xx)$/

function isStatus(status: number, wanted: string): boolean {
  return wanted.endsWith('xx') ? Math.floor(status / 100) === Number(wanted[0]) : status === Number(wanted)
}
