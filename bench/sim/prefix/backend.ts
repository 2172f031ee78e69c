/**
 * A simulated server of a language model with a prefix cache: it computes the part of a prompt that is not in its cache,
 * then the answer, with so many calls at a time and the others in line. The cache holds so many blocks, and the one that was used
 * least recently gives way, as at vLLM and SGLang.
 */
import type { Engine } from '../engine.ts'

/** The engine, or the clock of a real process. */
export interface Timers extends Pick<Engine, 'now'> {
  at(ms: number, run: () => void): void
}

export interface ModelPlan {
  /** Calls that are worked on at a time. */
  readonly slots: number
  readonly cacheBlocks: number
  readonly blockMs: number
  readonly answerMs: number
}

/** A call: the blocks of its prompt, each of which has the ones before it in its name. */
export interface Prompt {
  readonly blocks: readonly string[]
}

export interface Served {
  readonly prompt: Prompt
  readonly cameAt: number
  readonly done: () => void
}

export class ModelServer {
  /** Blocks of prompts, and those of them that were in the cache. */
  asked = 0
  hits = 0
  /** Times to the first token. */
  readonly firstTokenMs: number[] = []
  outstanding = 0
  readonly #engine: Timers
  readonly #plan: ModelPlan
  readonly #cache = new Set<string>()
  readonly #line: Served[] = []
  #running = 0

  constructor(engine: Timers, plan: ModelPlan) {
    this.#engine = engine
    this.#plan = plan
  }

  accept(call: Served): void {
    this.outstanding++
    this.#line.push(call)
    this.#serve()
  }

  #serve(): void {
    while (this.#running < this.#plan.slots) {
      const call = this.#line.shift()
      if (!call) return
      this.#running++
      const { blockMs, answerMs } = this.#plan
      const { blocks } = call.prompt
      const known = this.#use(blocks)
      this.asked += blocks.length
      this.hits += known
      const firstAt = this.#engine.now() + (blocks.length - known) * blockMs
      this.#engine.at(firstAt, () => this.firstTokenMs.push(firstAt - call.cameAt))
      this.#engine.at(firstAt + answerMs, () => {
        this.#running--
        this.outstanding--
        call.done()
        this.#serve()
      })
    }
  }

  /** How many blocks, from the first on, are in the cache; then all of them are. */
  #use(blocks: readonly string[]): number {
    let known = 0
    while (known < blocks.length && this.#cache.has(blocks[known] ?? '')) known++
    // The first block is used last: a prefix must not lose its beginning before its end.
    for (const block of blocks.toReversed()) {
      this.#cache.delete(block)
      this.#cache.add(block)
    }
    for (const block of this.#cache) {
      if (this.#cache.size <= this.#plan.cacheBlocks) break
      this.#cache.delete(block)
    }
    return known
  }
}
