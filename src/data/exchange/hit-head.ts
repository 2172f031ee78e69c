/** The head of an answer from the cache as text: what does not change with time is put together once. */
import type { RawPairs } from '../../core/call.ts'
import { forwardedReply } from '../http/headers.ts'
import { cacheStatus } from '../http/status.ts'
import { dateLine, fieldLines, statusLine } from './reply-head.ts'

/** As `cacheStatus` says that nothing is left. */
const TTL = '; ttl=0'

/** What does change. */
export interface HitTimes {
  readonly wall: number
  /** Whole seconds. */
  readonly age: number
  /** Whole seconds. */
  readonly left: number
}

export class HitHead {
  /** What stands before, between and behind the numbers of seconds. */
  readonly #before: string
  readonly #between: string
  readonly #isDated: boolean
  /** The status allows a body. */
  readonly hasBody: boolean

  /** Throws TypeError where a field cannot be sent as it is. */
  constructor(status: number, headers: RawPairs, tier: string) {
    const { text, isDated } = fieldLines(forwardedReply(headers))
    const [shown = '', detail = ''] = (cacheStatus({ kind: 'hit', tier, ageMs: 0, ttlMs: 0 }) ?? '').split(
      TTL,
    )
    this.#before = `${statusLine(status)}${text}Cache-Status: ${shown}; ttl=`
    this.#between = `${detail}\r\nAge: `
    this.#isDated = isDated
    this.hasBody = status !== 204 && status !== 304
  }

  /** `connection`: the field lines about the connection. */
  at({ wall, age, left }: HitTimes, length: number, connection: string): string {
    const date = this.#isDated ? '' : dateLine(wall)
    const framing = this.hasBody ? `Content-Length: ${length}\r\n` : ''
    return `${this.#before}${left}${this.#between}${age}\r\n${date}${framing}${connection}\r\n`
  }
}
