/**
 * Flights under random schedules of callers who come, join, leave and time out, and loads that land, fail, hang
 * and end early: a herd costs one load (I16), and every waiter settles with the right landing (I17).
 */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { Flights, type Load } from '../../src/data/flight/flights.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MAX_WAITERS = 3
const LEADER_AGE_MS = 1_000
const ROWS = Array.from({ length: 5 }, (_, n) => digestOf(`row ${n}`))

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      op: fc.constant('call' as const),
      rows: fc.uniqueArray(fc.nat(ROWS.length - 1), { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('leave' as const), which: fc.nat(50) }) },
  {
    weight: 3,
    arbitrary: fc.record({ op: fc.constant('land' as const), which: fc.nat(50), row: fc.nat(9) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('end' as const), which: fc.nat(50), fails: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(1_500) }) },
)

/** One load as the model sees it. */
interface Flown {
  readonly load: Load<string>
  readonly number: number
  readonly began: number
  readonly end: (error?: Error) => void
  readonly aloft: Set<Digest>
  /** For a row, the old load that this one was opened beside. */
  readonly beside: ReadonlyMap<Digest, Flown>
  isOver: boolean
}

/** One caller: what it waits for, and how each wait ended. */
interface Caller {
  readonly cancel: AbortController
  readonly waits: { readonly row: Digest; readonly from: Flown; ended?: string }[]
}

function isWanted({ aloft, load }: Flown, row: Digest): boolean {
  return aloft.has(row) && !load.signal.aborted
}

class World {
  readonly clock = new FakeClock()
  readonly flights = new Flights<string>({
    maxWaiters: MAX_WAITERS,
    leaderAgeMs: LEADER_AGE_MS,
    clock: this.clock,
  })
  readonly flown: Flown[] = []
  readonly callers: Caller[] = []
  /** Old loads that the one about to be opened stands beside. */
  readonly #overtaken = new Map<Digest, Flown>()

  call(rows: readonly Digest[]): void {
    const caller: Caller = { cancel: new AbortController(), waits: [] }
    const currents = new Map(rows.map((row) => [row, this.current(row)]))
    this.#overtaken.clear()
    const joined = rows.flatMap((row) => this.flights.join(row) ?? [])
    const missing = rows.filter((row) => !joined.some(({ digest }) => digest === row))
    for (const row of missing) this.#mayOpen(row)
    const opened =
      missing.length > 0 ? this.flights.open(missing, this.#run, (e) => `unlanded ${String(e)}`) : []
    for (const flight of [...joined, ...opened]) {
      const from = opened.includes(flight) ? this.flown.at(-1) : currents.get(flight.digest)
      const wait: Caller['waits'][number] = { row: flight.digest, from: from as Flown }
      caller.waits.push(wait)
      flight.wait(caller.cancel.signal).then(
        (landing) => {
          wait.ended = landing
        },
        (reason) => {
          wait.ended = (reason as Error).message
        },
      )
    }
    this.callers.push(caller)
  }

  readonly #run = (load: Load<string>): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const end = (error?: Error) => (error ? reject(error) : resolve())
    const aloft = new Set(load.digests)
    this.flown.push({
      load,
      number: this.flown.length,
      began: this.clock.now(),
      end,
      aloft,
      beside: new Map(this.#overtaken),
      isOver: false,
    })
    return promise
  }

  /** The load to join: the last one opened for the row, unless it has landed or was given up. */
  current(row: Digest): Flown | undefined {
    const last = this.flown.findLast(({ load }) => load.digests.includes(row))
    return last && isWanted(last, row) ? last : undefined
  }

  /** I16: beside another load of the same row only where that one is full, or old and alone. */
  #mayOpen(row: Digest): void {
    const beside = this.current(row)
    if (!beside || this.waitersOf(beside, row) >= MAX_WAITERS) return
    expect(this.clock.now() - beside.began).toBeGreaterThanOrEqual(LEADER_AGE_MS)
    const older = beside.beside.get(row)
    expect(older !== undefined && isWanted(older, row)).toBe(false)
    this.#overtaken.set(row, beside)
  }

  waitersOf(flown: Flown, row: Digest): number {
    return this.callers.filter(
      ({ cancel, waits }) =>
        !cancel.signal.aborted && waits.some((wait) => wait.row === row && wait.from === flown),
    ).length
  }

  /** A load is cancelled when, and only when, nobody waits for what it has not landed. */
  checkCancelled(): void {
    for (const flown of this.flown) {
      if (flown.isOver || flown.aloft.size === 0) continue
      const waiters = [...flown.aloft].reduce((sum, row) => sum + this.waitersOf(flown, row), 0)
      expect(flown.load.signal.aborted).toBe(waiters === 0)
    }
  }

  land(flown: Flown, row: Digest): void {
    flown.load.land(row, `load ${flown.number}`)
    flown.load.land(row, 'landed twice')
    flown.aloft.delete(row)
  }

  end(flown: Flown, fails: boolean): void {
    flown.end(fails ? new Error('load failed') : undefined)
    flown.isOver = true
    flown.aloft.clear()
  }
}

describe('flights', () => {
  it('I16, I17, F1, F2: one load a row, and every waiter settles with what its load brought', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), async (steps) => {
        const world = new World()
        for (const each of steps) {
          const running = world.flown.filter(({ isOver }) => !isOver)
          if (each.op === 'call') world.call(each.rows.map((row) => ROWS[row] as Digest))
          else if (each.op === 'wait') world.clock.advance(each.ms)
          else if (each.op === 'leave')
            world.callers[each.which % world.callers.length]?.cancel.abort(new Error('left'))
          else if (each.op === 'land') {
            const flown = running[each.which % running.length]
            const row = flown && [...flown.aloft][each.row % flown.aloft.size]
            if (flown && row) world.land(flown, row)
          } else {
            const flown = running[each.which % running.length]
            if (flown) world.end(flown, each.fails)
          }
          await turn()
          world.checkCancelled()
        }
        for (const flown of world.flown) if (!flown.isOver) world.end(flown, false)
        await turn()
        expect(world.flights.size).toBe(0)
        for (const { cancel, waits } of world.callers)
          for (const { from, ended } of waits) {
            const landings = [`load ${from.number}`, 'unlanded undefined', 'unlanded Error: load failed']
            expect(cancel.signal.aborted ? [...landings, 'left'] : landings).toContain(ended)
          }
      }),
      { numRuns: 300 },
    )
  })

  it('I17: a waiter leaves in its own time however long its load hangs, and the next one is not given that load', async () => {
    const flights = new Flights<string>({ maxWaiters: 10 })
    const row = digestOf('hangs')
    const left = new AbortController()
    let cancelled = false
    const hang = ({ signal }: Load<string>) => {
      signal.addEventListener('abort', () => {
        cancelled = true
      })
      return new Promise<void>(() => {})
    }
    const [flight] = flights.open([row], hang, () => 'unlanded')
    const joined = flights.join(row)
    const waits = Promise.allSettled([flight?.wait(left.signal), joined?.wait(left.signal)])
    left.abort(new Error('out of time'))
    for (const wait of await waits) expect(wait).toMatchObject({ reason: new Error('out of time') })
    expect(cancelled).toBe(true)
    expect(flights.join(row)).toBeUndefined()
    expect(flights.size).toBe(0)
  })

  it('I17: somebody who joined one row keeps the load alive when all others have left or have their answers', async () => {
    const flights = new Flights<string>({ maxWaiters: 10 })
    const [a, b] = [digestOf('a'), digestOf('b')]
    const [first, second] = [new AbortController(), new AbortController()]
    let load: Load<string> | undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    const opened = flights.open(
      [a, b],
      (own) => {
        load = own
        return promise
      },
      () => 'unlanded',
    )
    const joined = flights.join(b)
    const mine = Promise.allSettled(opened.map((flight) => flight.wait(first.signal)))
    const theirs = joined?.wait(second.signal)
    load?.land(a, 'A')
    await turn()
    first.abort(new Error('left'))
    expect(load?.signal.aborted).toBe(false)
    load?.land(b, 'B')
    resolve()
    expect(await theirs).toBe('B')
    expect(await mine).toMatchObject([{ value: 'A' }, { reason: new Error('left') }])
    expect(load?.signal.aborted).toBe(false)
  })

  it('lands every one of equal digests of one load', async () => {
    const flights = new Flights<string>({ maxWaiters: 10 })
    const row = digestOf('twice')
    const run = async (load: Load<string>) => {
      for (const digest of load.digests) load.land(digest, 'landed')
    }
    const opened = flights.open([row, row], run, () => 'unlanded')
    const never = new AbortController().signal
    expect(await Promise.all(opened.map((flight) => flight.wait(never)))).toEqual(['landed', 'landed'])
    expect(flights.size).toBe(0)
  })
})
