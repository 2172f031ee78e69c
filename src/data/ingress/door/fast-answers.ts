/** The fast paths of one connection: requests that are memory hits or refused are answered before a call is made of them. */
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

  constructor(ingress: FastIngress, heads: ConnectionHeads, writer: TextAnswers) {
    this.#ingress = ingress
    this.#heads = heads
    this.#writer = writer
  }

  /** Answers a whole request that was a hit before; returns its head. `key`: of the bytes, from `ConnectionHeads.keyOf`. */
  repeat(key: Buffer, bytes: Buffer): RequestHead | undefined {
    const repeat = this.#isRefused ? undefined : this.#heads.repeatOf(key)
    if (repeat) this.#names(this.#heads.requestIdOf(bytes, repeat.head))
    return repeat && this.#ingress.memoryHit.answerRepeat(repeat, this.#writer) ? repeat.head : undefined
  }

  /** Answers the request at the beginning of `bytes`. False: it is neither a hit nor refused, and nothing was done. */
  whole(bytes: Buffer, head: RequestHead): boolean {
    this.#names(this.#heads.requestIdOf(bytes, head))
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
    this.#names(head.requestId)
    return this.#ingress.memoryHit.answer(head, body, this.#writer) !== undefined || this.#refuses(head)
  }

  #names(requestId: string): void {
    this.#writer.requestId = requestId || this.#ingress.mintId()
  }

  #refuses(head: RequestHead): boolean {
    this.#isRefused = this.#ingress.fastRefusal.answer(head, this.#writer)
    return this.#isRefused
  }
}
