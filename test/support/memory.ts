/** Memory that is in use in this process, behind a collection: what is left of it is held by somebody. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'vitest'
import { eventually } from './eventually.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Bytes of the heap and of buffers. */
export function bytesInUse(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** However long a fuzzer runs. Other files of this process may take 32 MiB for an arena meanwhile. */
const MAX_GROWTH_BYTES = 48 << 20

/** The bound on what a fuzzer leaves in use. */
export class MemoryBound {
  readonly #warmUp: number
  #rounds = 0
  #began = Number.POSITIVE_INFINITY

  /** `warmUp`: rounds behind which the code and what it needs by itself are in use. */
  constructor(warmUp: number) {
    this.#warmUp = warmUp
  }

  round(): void {
    if (++this.#rounds === this.#warmUp) this.#began = bytesInUse()
  }

  /** Buffers behind a collection are freed beside us. */
  async check(): Promise<void> {
    await eventually(() => expect(bytesInUse() - this.#began).toBeLessThan(MAX_GROWTH_BYTES))
  }
}
