/**
 * Heads that were read lately, by their bytes: clients repeat them, on one connection and over many, and one that is
 * the same, byte for byte but for its volatile values, is not read again, nor is what follows from it worked out again.
 */
import { type ParsedHead, type RequestHead, readHead } from './head.ts'

/** Longer heads are read each time. */
const MAX_BYTES = 2048
/** Heads of one generation; the generation before is kept as well. */
const MAX_HEADS = 512
const END = '\r\n\r\n'

export class Heads {
  readonly #maxHeadBytes: number
  #young = new Map<string, RequestHead>()
  #old = new Map<string, RequestHead>()

  /** Longer heads are node:http's. */
  constructor(maxHeadBytes: number) {
    this.#maxHeadBytes = maxHeadBytes
  }

  /** The head that was kept by such bytes. */
  find(key: Buffer): RequestHead | undefined {
    const text = textOf(key)
    return this.#young.get(text) ?? this.#old.get(text)
  }

  /** Reads the head, and keeps it by `key`, which is at least as long. */
  read(bytes: Buffer, key = bytes): ParsedHead {
    const head = readHead(bytes, this.#maxHeadBytes)
    if (typeof head === 'object' && head.bytes <= MAX_BYTES) this.#keep(textOf(key), head)
    return head
  }

  /** Those that nobody has sent for a whole generation are forgotten; the others are read once more. */
  #keep(text: string, head: RequestHead): void {
    if (this.#young.size >= MAX_HEADS) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(text, head)
  }
}

/** Empty where the end has not come, or is too far. */
function textOf(key: Buffer): string {
  const end = key.indexOf(END, 0, 'latin1') + END.length
  return end < END.length || end > MAX_BYTES ? '' : key.toString('latin1', 0, end)
}
