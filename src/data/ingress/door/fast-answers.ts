/** The fast paths of one connection: requests that are memory hits or refused are answered before a call is made of them. */
import { header } from '../../../core/call.ts'
import { TRACEPARENT } from '../../../core/trace-context.ts'
import type { Ingress } from '../ingress.ts'
import type { ConnectionHeads } from './connection-heads.ts'
import type { RequestHead } from './head.ts'
import type { TextAnswers } from './text-answers.ts'

type FastIngress = Pick<Ingress, 'memoryHit' | 'fastRefusal' | 'mintId'>

export class FastAnswers {
  readonly #ingress: FastIngress
  readonly #heads: ConnectionHeads
  readonly #writer: TextAnswers
  /** The last request was refused: the next mostly is as well, so nothing else is looked up for it first. */
  #isRefused = false
  #bytes: Buffer | undefined
  #head: RequestHead | undefined

  constructor(ingress: FastIngress, heads: ConnectionHeads, writer: TextAnswers) {
    this.#ingress = ingress
    this.#heads = heads
    this.#writer = writer
    writer.findTraceparent = this.#traceparent
  }

  /** Answers a whole request that was a hit before; returns its head. `key`: of the bytes, from `ConnectionHeads.keyOf`. */
  repeat(key: Buffer, bytes: Buffer): RequestHead | undefined {
    const repeat = this.#isRefused ? undefined : this.#heads.repeatOf(key)
    if (repeat) this.#begin(this.#heads.requestIdOf(bytes, repeat.head), bytes, repeat.head)
    return repeat && this.#ingress.memoryHit.answerRepeat(repeat, this.#writer) ? repeat.head : undefined
  }

  /** Answers the request at the beginning of `bytes`. False: it is neither a hit nor refused, and nothing was done. */
  whole(bytes: Buffer, head: RequestHead): boolean {
    this.#begin(this.#heads.requestIdOf(bytes, head), bytes, head)
    if (this.#isRefused && this.#refuses(head)) return true
    const end = head.bytes + head.length
    const body = bytes.subarray(head.bytes, end)
    const source = this.#ingress.memoryHit.answer(head, [body], this.#writer)
    if (!source) return this.#refuses(head)
    if (bytes.length === end) this.#heads.keepHit(bytes, head, source)
    return true
  }

  /** The same for a request whose body has come in pieces. */
  collected(head: RequestHead, body: readonly Uint8Array[]): boolean {
    this.#begin(head.requestId, undefined, head)
    return this.#ingress.memoryHit.answer(head, body, this.#writer) !== undefined || this.#refuses(head)
  }

  /** `bytes`: undefined if the head is this request's own. */
  #begin(requestId: string, bytes: Buffer | undefined, head: RequestHead): void {
    this.#writer.requestId = requestId || this.#ingress.mintId()
    this.#bytes = bytes
    this.#head = head
  }

  /** The trace of the present request. */
  readonly #traceparent = (): string | undefined => {
    if (!this.#head) return undefined
    return this.#bytes
      ? this.#heads.traceparentOf(this.#bytes, this.#head)
      : header(this.#head.headers, TRACEPARENT)
  }

  #refuses(head: RequestHead): boolean {
    this.#isRefused = this.#ingress.fastRefusal.answer(head, this.#writer)
    return this.#isRefused
  }
}
