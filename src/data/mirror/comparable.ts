/** An answer whose bytes are kept while a caller gets it, so that it can be compared, up to a bound. */
import { header, headerAll, isWhole } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import type { Reply } from '../../core/reply.ts'
import type { ComparedReply } from '../../protocol/difference.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import { Incoming } from '../backend/incoming.ts'
import { isStreamed } from '../cache/streamed.ts'
import type { UpstreamResponse } from '../upstream/upstream-call.ts'

/** The longest answer that is compared. */
export const MAX_COMPARED = 1 << 20
/** The same where it does not say how long it is. */
const MAX_UNDECLARED = 64 << 10

export class ComparableAnswer {
  readonly #response: UpstreamResponse
  /** Bytes that it holds, or may come to hold. */
  readonly size: number
  #pieces: Uint8Array[] | undefined = []
  #bytes = 0

  private constructor(response: UpstreamResponse, size: number) {
    this.#response = response
    this.size = size
  }

  /**
   * To be made before anybody reads the answer. Undefined: it cannot be compared, as events that a model writes, or what is too
   * long.
   */
  static of(response: UpstreamResponse, protocol: Pick<Protocol, 'isStream'>): ComparableAnswer | undefined {
    const { reply } = response
    const { body } = reply
    if (isEncoded(reply)) return undefined
    const size = isWhole(body) ? body.length : declaredLength(reply)
    if (size > MAX_COMPARED) return undefined
    if (isWhole(body)) return new ComparableAnswer(response, size)
    if (!(body instanceof Incoming) || isStreamed(reply, protocol)) return undefined
    const answer = new ComparableAnswer(response, size)
    body.watch((piece) => answer.#add(piece))
    return answer
  }

  /** Resolves with the answer once it is there; undefined: it has broken off, or is too long. Never rejects. */
  async whole(): Promise<ComparedReply | undefined> {
    const { reply, over } = this.#response
    const { body } = reply
    if (body instanceof Uint8Array) return { ...reply, body }
    if (body instanceof Chunks) return { ...reply, body: body.slice(0, body.length) }
    await over?.catch(() => {})
    const pieces = this.#pieces
    this.#pieces = undefined
    const isComplete = body instanceof Incoming && body.isComplete
    return pieces && isComplete ? { ...reply, body: Buffer.concat(pieces) } : undefined
  }

  #add(piece: Uint8Array): void {
    this.#bytes += piece.length
    if (this.#bytes > this.size) this.#pieces = undefined
    else this.#pieces?.push(piece)
  }
}

function declaredLength({ headers }: Reply): number {
  const length = header(headers, 'content-length')
  return length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : MAX_UNDECLARED
}

/** Compressed texts say nothing of each other. */
export function isEncoded({ headers }: Reply): boolean {
  return headerAll(headers, 'content-encoding').some((coding) => coding.toLowerCase() !== 'identity')
}
