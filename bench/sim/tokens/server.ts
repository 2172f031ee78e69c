/**
 * A server that generates tokens, simulated: continuous batching with chunked prefill, as vLLM and SGLang do it. All calls are worked on
 * in common steps; a step takes its own time, some for each call that gets a token, and some for each token of a prompt.
 */
import type { Engine } from '../engine.ts'

export interface ServerSettings {
  readonly stepMs: number
  readonly callMs: number
  readonly promptTokenMs: number
  /** Tokens of prompts in a step. */
  readonly chunk: number
  /** Tokens for which there is memory; a call that does not fit waits. */
  readonly memory: number
}

export interface Generation {
  readonly prompt: number
  readonly output: number
  /** A piece has been made. */
  readonly onPiece: () => void
  readonly onEnd: () => void
}

interface Running {
  readonly call: Generation
  /** Tokens of the prompt that are still to be read. */
  unread: number
  left: number
}

export class TokenServer {
  readonly #engine: Engine
  readonly #settings: ServerSettings
  readonly #waiting: Generation[] = []
  #running: Running[] = []
  #used = 0
  #isStepping = false

  constructor(engine: Engine, settings: ServerSettings) {
    this.#engine = engine
    this.#settings = settings
  }

  get running(): number {
    return this.#running.length
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** The share of the memory in use. */
  get utilization(): number {
    return this.#used / this.#settings.memory
  }

  submit(call: Generation): void {
    this.#waiting.push(call)
    if (!this.#isStepping) this.#step()
  }

  #step(): void {
    this.#admit()
    this.#isStepping = this.#running.length > 0
    if (!this.#isStepping) return
    const { stepMs, callMs, promptTokenMs, chunk } = this.#settings
    let budget = chunk
    let fed = 0
    for (const each of this.#running) {
      const part = Math.min(each.unread, budget)
      each.unread -= part
      budget -= part
      if (each.unread === 0) fed++
    }
    this.#engine.after(stepMs + callMs * fed + promptTokenMs * (chunk - budget), () => this.#end())
  }

  #end(): void {
    const ended: Running[] = []
    for (const each of this.#running) {
      if (each.unread > 0) continue
      each.call.onPiece()
      if (--each.left === 0) ended.push(each)
    }
    if (ended.length > 0) this.#running = this.#running.filter(({ left }) => left > 0)
    for (const { call } of ended) {
      this.#used -= call.prompt + call.output
      call.onEnd()
    }
    this.#step()
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const size = next.prompt + next.output
      if (this.#used + size > this.#settings.memory && this.#running.length > 0) return
      this.#used += size
      this.#running.push({ call: next, unread: next.prompt, left: next.output })
      this.#waiting.shift()
    }
  }
}
