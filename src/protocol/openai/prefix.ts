/**
 * The beginning of the prompt of a generation, as hashes of its blocks: what a server's prefix cache goes by, as far as it can be
 * told without the server's template and tokenizer. The bytes are hashed as they are written, since the callers who share a
 * prompt share a program, too; a prompt that is spelled differently is placed as one that nobody has seen.
 */
import type { Call } from '../../core/call.ts'
import type { PromptPrefix } from '../../core/prompt-prefix.ts'
import { mix32 } from '../../lib/hash64.ts'
import { Cursor } from '../json/scan.ts'
import type { Stretch } from '../json/span.ts'

/** A block is some sixty tokens; of a longer prompt the first sixteen thousand tokens count. */
const BLOCK_BYTES = 256
const MAX_BLOCKS = 256

const GENERATIONS: ReadonlySet<string> = new Set(['chat', 'completions', 'responses'])

/** What a cache is kept apart by: the model, which is an adapter at vLLM, SGLang's adapter, and vLLM's salt. */
const APART = ['model', 'lora_path', 'lora_name', 'cache_salt']
/** The parts of a prompt in the order in which templates have them. */
const PARTS = ['tools', 'instructions', 'messages', 'prompt', 'input']

export function promptPrefix({ target }: Pick<Call, 'target'>, body: Uint8Array): PromptPrefix | undefined {
  if (!GENERATIONS.has(target?.verb ?? '')) return undefined
  const members = membersOf(body)
  const parts = PARTS.flatMap((name) => members.get(name) ?? [])
  if (parts.length === 0) return undefined
  const chain = new Chain(body)
  for (const name of APART) chain.cover(members.get(name))
  for (const part of parts) chain.add(part)
  return chain.prefix()
}

function membersOf(body: Uint8Array): ReadonlyMap<string, Stretch> {
  const cursor = new Cursor(body)
  const members = new Map<string, Stretch>()
  const isRead =
    cursor.peek() === 0x7b &&
    cursor.members((key) => {
      const value = cursor.value()
      if (value && (APART.includes(key) || PARTS.includes(key))) members.set(key, value)
      return value !== undefined
    })
  return isRead ? members : new Map()
}

class Chain {
  readonly #body: Uint8Array
  readonly #view: DataView
  readonly #lanes = new Int32Array(2 * MAX_BLOCKS)
  #blocks = 0
  #low = 1
  #high = 2

  constructor(body: Uint8Array) {
    this.#body = body
    this.#view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  }

  /** Makes all blocks that follow depend on these bytes, or on that there are none. */
  cover(part: Stretch | undefined): void {
    if (part) this.#mix(part.start, part.end)
    else this.#low = mix32(this.#low ^ 0x5bd1e995)
  }

  /** Adds the whole blocks of a part of the prompt. What is left at its end is covered by the blocks behind it. */
  add({ start, end }: Stretch): void {
    let at = start
    for (; at + BLOCK_BYTES <= end && this.#blocks < MAX_BLOCKS; at += BLOCK_BYTES) {
      this.#mix(at, at + BLOCK_BYTES)
      this.#lanes[2 * this.#blocks] = this.#low
      this.#lanes[2 * this.#blocks + 1] = this.#high
      this.#blocks++
    }
    if (at < end && this.#blocks < MAX_BLOCKS) this.#mix(at, end)
  }

  prefix(): PromptPrefix {
    return { lanes: this.#lanes.subarray(0, 2 * this.#blocks), blocks: this.#blocks }
  }

  #mix(start: number, end: number): void {
    let low = this.#low ^ (end - start)
    let high = this.#high
    let at = start
    for (; at + 4 <= end; at += 4) {
      const word = this.#view.getInt32(at, true)
      low = Math.imul(low ^ word, 0x9e3779b1) ^ (low >>> 15)
      high = Math.imul(high + word, 0x85ebca6b) ^ (high >>> 13)
    }
    for (; at < end; at++) {
      low = Math.imul(low ^ (this.#body[at] as number), 0x9e3779b1) ^ (low >>> 15)
      high = Math.imul(high + (this.#body[at] as number), 0x85ebca6b) ^ (high >>> 13)
    }
    this.#low = mix32(low)
    this.#high = mix32(high ^ low)
  }
}
