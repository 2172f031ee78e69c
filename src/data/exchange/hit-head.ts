/** The head of an answer from the cache as text, up to `headEnd`. The parts that do not change with time are made once. */
import type { RawPairs } from '../../core/call.ts'
import { forwardedReply } from '../http/headers.ts'
import { cacheStatus } from '../http/status.ts'
import { dateLine, fieldLines, statusLine } from './reply-head.ts'

/** What `cacheStatus` writes for an expired entry; here it marks where the lifetime goes. */
const TTL = '; ttl=0'

/** The parts that change with time. */
export interface HitTimes {
  readonly wall: number
  /** Whole seconds. */
  readonly age: number
  /** Whole seconds. */
  readonly left: number
}

export class HitHead {
  /** The text before the first and between the two numbers of seconds. */
  readonly #before: string
  readonly #between: string
  readonly #isDated: boolean
  /** Whether the status allows a body. */
  readonly hasBody: boolean

  /** Throws TypeError if a field cannot be sent. */
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

  /** All but its end. `connection`: the field lines about the connection. */
  at({ wall, age, left }: HitTimes, length: number, connection: string): string {
    const date = this.#isDated ? '' : dateLine(wall)
    const framing = this.hasBody ? `Content-Length: ${length}\r\n` : ''
    return `${this.#before}${left}${this.#between}${age}\r\n${date}${framing}${connection}`
  }
}
