/**
 * Facts that gateways share, through any history of deployments, rollbacks, purges, restarts of gateways, and a store that
 * fails, forgets and goes back in time. What is asked is what a caller reads: nothing from before a deployment or a
 * purge that his gateway has seen, or could have heard of.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { silentLog } from '../../src/core/log.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import { Epochs } from '../../src/data/key/epochs.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { RewindingStore, type StoreFault } from '../support/rewinding-store.ts'

const POOL = 'main'
const target = { verb: 'predict', model: 'm', prediction: true }
const EPOCHS = ['all', 'model:m']

/** An answer as it is kept: who gave it, and when. */
interface Kept {
  /** Which of the deployments of the pool, from 0. */
  readonly content: number
  readonly label: string
  readonly serial: number
}

/** The backends behind one or both gateways: every deployment has a content of its own, under a version or one of before. */
class Servers {
  readonly labels = ['1']
  /** By gateway. */
  readonly #observed = new Map<number, Set<number>>()

  constructor(gateways: readonly number[]) {
    for (const at of gateways) this.#observed.set(at, new Set())
  }

  get content(): number {
    return this.labels.length - 1
  }
  get label(): string {
    return this.labels.at(-1) as string
  }

  /**
   * A gateway asks; gives the earliest content that this may be. Under the same version there is no telling unless the
   * gateway has seen another one between.
   */
  observe(at: number): number {
    const seen = this.#observed.get(at)
    seen?.add(this.content)
    const others = [...(seen ?? [])].filter((content) => this.labels[content] !== this.label)
    return Math.max(-1, ...others) + 1
  }
}

/** What everybody may be held to who has read the facts since. */
interface Published {
  content: number
  serial: number
}

interface Place {
  readonly at: number
  readonly servers: Servers
  readonly store: RewindingStore<Kept>
  readonly clock: FakeClock
  /** What its wall clock is wrong by. */
  readonly skewMs: number
  readonly published: Published
  /** The store knows its lives. */
  readonly isFenced: boolean
}

/** A gateway's part in it: facts, a memory, and what its callers must not read any more. */
class Gateway {
  readonly #place: Place
  readonly #memory = new Map<string, Kept>()
  readonly #epochs: Epochs
  readonly #deployments: Deployments
  #label: string | undefined
  #detectedAt: number | undefined
  /** The earliest content and serial that may be read here. */
  #floor = { content: 0, serial: 0 }

  constructor(place: Place) {
    this.#place = place
    const { clock, skewMs, store: shared } = place
    const skewed = {
      now: () => clock.now(),
      wall: () => clock.wall() + skewMs,
      after: clock.after.bind(clock),
    }
    const parts = { shared, clock: skewed, log: silentLog, changed: () => {} }
    this.#epochs = new Epochs(parts)
    this.#deployments = new Deployments({ ...parts, waitMs: 1000 })
  }

  /** Asks the backends what they have. */
  async detect(): Promise<void> {
    const { at, clock, servers, published } = this.#place
    const { label } = servers
    const otherwiseAt = this.#detectedAt
    this.#detectedAt = clock.now()
    const content = servers.observe(at)
    const isNews = this.#label !== undefined && this.#label !== label
    this.#label = label
    this.#deployments.learn({ pool: POOL, model: 'm', evidence: `${label}@`, versions: [label], otherwiseAt })
    if (isNews) this.#floor.content = Math.max(this.#floor.content, content)
    await settle()
    if (isNews && this.#deployments.peek(POOL, target)?.shared)
      published.content = Math.max(published.content, content)
  }

  /** Reads what the others have told, as each second. */
  async poll(): Promise<void> {
    const { published, store, isFenced } = this.#place
    const due = { ...published }
    await Promise.all([this.#epochs.poll(), this.#deployments.poll()])
    await settle()
    // Of a store that cannot tell its lives it is enough that all have read it since.
    if (store.fault === 'none' && isFenced) this.hold(due)
  }

  /** From now on nothing older may be read here. */
  hold(due: Published): void {
    this.#floor.content = Math.max(this.#floor.content, due.content)
    this.#floor.serial = Math.max(this.#floor.serial, due.serial)
  }

  async purge(serial: number): Promise<void> {
    const purging = this.#epochs.purge(['model:m'])
    this.#floor.serial = serial
    if (await purging) this.#place.published.serial = serial
  }

  /** A call: from memory, the store, or the backends. */
  async ask(serial: number): Promise<{ readonly kept: Kept; readonly isHit: boolean }> {
    const { servers, store, clock } = this.#place
    const loading = Promise.all([this.#epochs.load(EPOCHS), this.#deployments.load(POOL, target)])
    await settle()
    clock.advance(1_000)
    const [epochs, token] = await loading
    const key = [token.value, ...epochs.values].join()
    const { label, content } = servers
    const isShared = epochs.shared && token.shared && store.fault === 'none'
    const found = this.#memory.get(key) ?? (isShared ? store.entries.get(key) : undefined)
    if (found) {
      this.#memory.set(key, found)
      return { kept: found, isHit: true }
    }
    const kept = { content, label, serial }
    const isLent = token.shared && !token.writable
    if (!isLent && this.#deployments.mayKeep(POOL, target, label)) {
      this.#memory.set(key, kept)
      if (isShared && token.writable) store.entries.set(key, kept)
    }
    return { kept, isHit: false }
  }

  /** Why a kept answer must not have been given; undefined: it may. */
  faultOf({ content, label, serial }: Kept, isSame: boolean): string | undefined {
    if (serial < this.#floor.serial) return `from before a purge: ${serial} < ${this.#floor.serial}`
    if (isSame && content < this.#floor.content)
      return `of an old deployment: ${content} < ${this.#floor.content}`
    // Other backends: there a version is the same model, whoever serves it.
    if (!isSame && this.#label !== undefined && label !== this.#label && label !== this.#place.servers.label)
      return `of version ${label}, and the backends have ${this.#label}`
    return undefined
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 60; i++) await Promise.resolve()
  await new Promise<void>((resolve) => setImmediate(resolve))
}

type Step =
  | { readonly do: 'ask' | 'detect' | 'poll' | 'purge' | 'fresh'; readonly at: number }
  | { readonly do: 'deploy'; readonly at: number; readonly label: string }
  | { readonly do: 'save' }
  | { readonly do: 'restart'; readonly back: number }
  | { readonly do: 'fault'; readonly fault: StoreFault }
  | { readonly do: 'both'; readonly what: 'detect' | 'poll' | 'purge' }

const at = fc.nat(1)
const steps = (isFenced: boolean): fc.Arbitrary<readonly Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 8, arbitrary: fc.record({ do: fc.constant('ask' as const), at }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('detect' as const, 'poll' as const), at }) },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant('deploy' as const),
          at,
          label: fc.constantFrom('1', '2', '3'),
        }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('purge' as const), at }) },
      { weight: 2, arbitrary: fc.constant({ do: 'save' as const }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('restart' as const), back: fc.nat(2) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant('fault' as const),
          fault: fc.constantFrom<StoreFault>('none', 'none', 'away', 'silent'),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant('both' as const),
          what: fc.constantFrom('detect' as const, 'poll' as const, 'purge' as const),
        }),
      },
      // Who starts anew knows nothing of what a store that cannot tell its lives has lost.
      ...(isFenced ? [{ weight: 1, arbitrary: fc.record({ do: fc.constant('fresh' as const), at }) }] : []),
    ),
    { minLength: 5, maxLength: 60, size: 'max' },
  )

interface History {
  /** Both gateways have the same backends. */
  readonly isSame: boolean
  readonly skewMs: number
  readonly turns: readonly number[]
  readonly steps: readonly Step[]
}

class World {
  readonly #history: History
  readonly #isFenced: boolean
  readonly #clock = new FakeClock()
  readonly #store: RewindingStore<Kept>
  readonly #servers: readonly [Servers, Servers]
  readonly #published: readonly [Published, Published]
  readonly #gateways: [Gateway, Gateway]
  #serial = 0
  hits = 0

  constructor(history: History, isFenced: boolean) {
    this.#history = history
    this.#isFenced = isFenced
    let turn = 0
    const { turns, isSame } = history
    this.#store = new RewindingStore(isFenced, () => turns[turn++ % turns.length] as number)
    const first = new Servers(isSame ? [0, 1] : [0])
    this.#servers = [first, isSame ? first : new Servers([1])]
    const known = { content: 0, serial: 0 }
    this.#published = [known, known]
    this.#gateways = [this.#gateway(0), this.#gateway(1)]
  }

  #gateway(place: number): Gateway {
    return new Gateway({
      at: place,
      servers: this.#servers[place] as Servers,
      store: this.#store,
      clock: this.#clock,
      skewMs: place * this.#history.skewMs,
      published: this.#published[place] as Published,
      isFenced: this.#isFenced,
    })
  }

  async run(): Promise<void> {
    for (const each of this.#gateways) await each.detect()
    for (const step of this.#history.steps) {
      this.#clock.advance(10)
      await this.#step(step)
    }
    // However it went, they come to terms again.
    this.#store.fault = 'none'
    for (let round = 0; round < 12; round++)
      for (const each of this.#gateways) {
        await each.detect()
        await each.poll()
      }
    for (const place of [0, 1]) {
      this.#gateways[place as 0 | 1].hold(this.#published[place] as Published)
      await this.#ask(place)
    }
  }

  /** The content that a caller reads at a gateway. */
  async contentAt(place: 0 | 1): Promise<number> {
    return (await this.#gateways[place].ask(++this.#serial)).kept.content
  }

  async #step(step: Step): Promise<void> {
    if (step.do === 'save') return this.#store.save()
    if (step.do === 'restart') return this.#store.restart(step.back)
    if (step.do === 'fault') {
      this.#store.fault = step.fault
      return
    }
    if (step.do === 'deploy') return void this.#servers[step.at as 0 | 1].labels.push(step.label)
    if (step.do === 'both')
      return void (await Promise.all(this.#gateways.map((each) => this.#act(each, step.what))))
    if (step.do === 'ask') return this.#ask(step.at)
    if (step.do === 'fresh') {
      this.#gateways[step.at as 0 | 1] = this.#gateway(step.at)
      return
    }
    await this.#act(this.#gateways[step.at as 0 | 1], step.do)
  }

  #act(gateway: Gateway, what: 'detect' | 'poll' | 'purge'): Promise<void> {
    return what === 'purge' ? gateway.purge(++this.#serial) : gateway[what]()
  }

  async #ask(place: number): Promise<void> {
    const gateway = this.#gateways[place as 0 | 1]
    const { kept, isHit } = await gateway.ask(++this.#serial)
    if (isHit) this.hits++
    expect(gateway.faultOf(kept, this.#history.isSame)).toBeUndefined()
  }
}

const histories = (isFenced: boolean) =>
  fc.record({
    isSame: fc.boolean(),
    // To a clock that is behind, what a store without lives brings back looks new if nobody here has seen it before.
    skewMs: isFenced ? fc.constantFrom(0, 5_000, -3_600_000) : fc.constant(0),
    turns: fc.array(fc.nat(6), { minLength: 3, maxLength: 20 }),
    steps: steps(isFenced),
  })

describe('I7, I8: nothing from before a deployment or a purge is read', () => {
  it.each([
    ['whatever becomes of a store that knows its lives', true],
    ['by gateways that run on while a store that does not goes back in time', false],
  ])('%s', async (_name, isFenced) => {
    let hits = 0
    await fc.assert(
      fc.asyncProperty(histories(isFenced), async (history) => {
        const world = new World(history, isFenced)
        await world.run()
        hits += world.hits
      }),
      { numRuns: 300 },
    )
    // A cache that forgot all would be right as well.
    expect(hits).toBeGreaterThan(500)
  })

  // Gateway 1 has seen the first "3", gateway 0 only the second, and neither the whole of what came between. Gateway 0 finds the
  // stamp of the first, for the same evidence as its own; it must not take it for that of the second.
  it('where each gateway has missed another one of three deployments, the third under the version of the first', async () => {
    const steps: readonly Step[] = [
      { do: 'deploy', at: 0, label: '3' },
      { do: 'detect', at: 1 },
      { do: 'ask', at: 1 },
      { do: 'deploy', at: 0, label: '1' },
      { do: 'detect', at: 0 },
      { do: 'deploy', at: 0, label: '3' },
      { do: 'detect', at: 0 },
    ]
    const world = new World({ isSame: true, skewMs: 0, turns: [0], steps }, true)
    await world.run()
    expect(await world.contentAt(0)).toBe(3)
  })
})
