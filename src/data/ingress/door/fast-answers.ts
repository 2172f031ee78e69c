/** The fast paths of one connection: requests that are memory hits or refused are answered before a call is made of them. */
import type { AnswerWriter } from '../../hits/fast-answer.ts'
import type { Ingress } from '../ingress.ts'
import type { ConnectionHeads } from './connection-heads.ts'
import type { RequestHead } from './head.ts'

export class FastAnswers {
  readonly #ingress: Pick<Ingress, 'memoryHit' | 'fastRefusal'>
  readonly #heads: ConnectionHeads
  readonly #writer: AnswerWriter
  /** The last request was refused: the next mostly is as well, so nothing else is looked up for it first. */
  #isRefused = false

  constructor(
    ingress: Pick<Ingress, 'memoryHit' | 'fastRefusal'>,
    heads: ConnectionHeads,
    writer: AnswerWriter,
  ) {
    this.#ingress = ingress
    this.#heads = heads
    this.#writer = writer
  }

  /** Answers a whole request that was a hit before; returns its head. `key`: from `ConnectionHeads.keyOf`. */
  repeat(key: Buffer): RequestHead | undefined {
    const repeat = this.#isRefused ? undefined : this.#heads.repeatOf(key)
    return repeat && this.#ingress.memoryHit.answerRepeat(repeat, this.#writer) ? repeat.head : undefined
  }

  /** Answers the request at the beginning of `bytes`. False: it is neither a hit nor refused, and nothing was done. */
  whole(bytes: Buffer, head: RequestHead): boolean {
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
    return this.#ingress.memoryHit.answer(head, body, this.#writer) !== undefined || this.#refuses(head)
  }

  #refuses(head: RequestHead): boolean {
    this.#isRefused = this.#ingress.fastRefusal.answer(head, this.#writer)
    return this.#isRefused
  }
}
