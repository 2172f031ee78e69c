/**
 * Work in pieces that are kept: the whole comparison takes half an hour, and whoever has less goes on later where it stopped. A piece
 * is named by what it is and by the sources it comes from, so that one of other code is never taken for one of this.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'

const ROOT = new URL('../../../', import.meta.url)
const SIMULATION = [
  ...['arrivals', 'engine', 'random', 'service'].map((name) => `bench/sim/${name}.ts`),
  ...['play', 'pool', 'rules', 'scenarios'].map((name) => `bench/sim/scale/${name}.ts`),
  'src/lib/log-histogram.ts',
]
const RULE = [
  ...SIMULATION,
  ...sourcesIn('src/control/scale'),
  ...['crowd', 'learning', 'oracle', 'special'].map((name) => `bench/sim/scale/${name}.ts`),
]

/** The time is up; what is done is kept. */
export class OutOfTime extends Error {}

export class Pieces {
  readonly #deadline: number
  readonly #file: URL
  /** All there is, and what was done here. */
  readonly #kept: Map<string, unknown>
  readonly #done = new Map<string, unknown>()
  readonly #simulation = digestOf(SIMULATION)
  readonly #rule = digestOf(RULE)
  #savedAt = performance.now()

  /** `seconds`: how long pieces are begun. */
  constructor(seconds: number) {
    this.#deadline = performance.now() + seconds * 1000
    const folder = new URL('.cache/bench-scale/', ROOT)
    mkdirSync(folder, { recursive: true })
    this.#kept = new Map(readdirSync(folder).flatMap((name) => read(new URL(name, folder))))
    // Several may work on it at a time: each writes a file of its own.
    this.#file = new URL(`scale-pieces-${process.pid}.json`, folder)
  }

  /** What our rule came to. */
  ours<T>(name: string, work: () => T): T {
    return this.#piece(`${this.#rule} ${name}`, work)
  }

  /** What does not depend on our rule. */
  others<T>(name: string, work: () => T): T {
    return this.#piece(`${this.#simulation} ${name}`, work)
  }

  save(): void {
    writeFileSync(this.#file, JSON.stringify([...this.#done]))
    this.#savedAt = performance.now()
  }

  #piece<T>(name: string, work: () => T): T {
    if (this.#kept.has(name)) return this.#kept.get(name) as T
    if (performance.now() >= this.#deadline) throw new OutOfTime()
    const result = work()
    this.#kept.set(name, result)
    this.#done.set(name, result)
    if (performance.now() - this.#savedAt > 5_000) this.save()
    return result
  }
}

function read(file: URL): [string, unknown][] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as [string, unknown][]
  } catch {
    return []
  }
}

function sourcesIn(folder: string): string[] {
  const names = readdirSync(new URL(`${folder}/`, ROOT)).sort()
  return names.filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`)
}

function digestOf(files: readonly string[]): string {
  const hash = createHash('sha256')
  for (const file of files) hash.update(file).update(readFileSync(new URL(file, ROOT)))
  return hash.digest('hex').slice(0, 16)
}
