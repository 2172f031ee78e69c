/**
 * A shared tier that can go back in time: it is saved, and later started again from what was saved, or another server takes
 * over that has not heard of the last writes. As Redis does by the script of its facts, it forgets those of another
 * life; unless it cannot tell one life from another. Operations may fail, also after they were done.
 */
import type { FactStore } from '../../src/data/key/epochs.ts'

export type StoreFault = 'none' | 'away' | 'silent'

interface Copy<T> {
  readonly facts: ReadonlyMap<string, string>
  readonly entries: ReadonlyMap<string, T>
  readonly factsOf: number
}

export class RewindingStore<T> implements FactStore {
  /** `silent`: done, but the answer is lost. */
  fault: StoreFault = 'none'
  entries = new Map<string, T>()
  #facts = new Map<string, string>()
  #life = 1
  /** Whose facts they are. */
  #factsOf = 1
  #saved: Copy<T>[] = []
  readonly #hasLives: boolean
  readonly #turns: () => number

  /** `turns`: how long an operation takes. */
  constructor(hasLives: boolean, turns: () => number) {
    this.#hasLives = hasLives
    this.#turns = turns
    this.save()
  }

  claim(name: string, value: string): Promise<string | undefined> {
    return this.#act(() => {
      const present = this.#facts.get(name) ?? value
      this.#facts.set(name, present)
      return present
    })
  }

  facts(names: readonly string[]): Promise<(string | undefined)[] | undefined> {
    return this.#act(() => names.map((name) => this.#facts.get(name)))
  }

  async publish(name: string, value: string): Promise<boolean> {
    return (await this.#act(() => this.#facts.set(name, value))) !== undefined
  }

  save(): void {
    this.#saved.push({
      facts: new Map(this.#facts),
      entries: new Map(this.entries),
      factsOf: this.#factsOf,
    })
  }

  /** Starts again from the `back`th last of what was saved. */
  restart(back: number): void {
    const { facts, entries, factsOf } = this.#saved.at(-1 - (back % this.#saved.length)) as Copy<T>
    this.#facts = new Map(facts)
    this.entries = new Map(entries)
    this.#factsOf = factsOf
    this.#life++
  }

  async #act<R>(run: () => R): Promise<R | undefined> {
    for (let turns = this.#turns(); turns > 0; turns--) await Promise.resolve()
    if (this.fault === 'away') return undefined
    if (this.#hasLives && this.#factsOf !== this.#life) {
      this.#facts.clear()
      this.#factsOf = this.#life
    }
    const done = run()
    for (let turns = this.#turns(); turns > 0; turns--) await Promise.resolve()
    return this.fault === 'silent' ? undefined : done
  }
}
