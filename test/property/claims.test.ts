/**
 * Flights over the workers of one process: a herd costs one load (I16), and whatever becomes of the loads and of those
 * who run them, every waiter settles (I17) and no claim is left.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import {
  allocateClaims,
  type ClaimBytes,
  ClaimTable,
  forgetClaims,
} from '../../src/data/flight/claim-table.ts'
import { Claims } from '../../src/data/flight/claims.ts'
import { startThread } from '../support/threads.ts'

const WORKERS = 3
const ROWS = Array.from({ length: 5 }, (_, n) => digestOf(`row ${n}`))
const now = () => performance.now()
const never = new AbortController().signal

const tableOf = (bytes: ClaimBytes, worker: number) => new ClaimTable(bytes, { worker, now })
const isEmpty = ({ owner }: ClaimBytes) => owner.every((word) => word === 0)

type Fate = 'kept' | 'unkept' | 'failed'

/** Loads as the pipeline does: what memory has not, under claims. `fates` are taken in turn. */
class Worker {
  readonly loads: Digest[] = []
  readonly #claims: Claims
  readonly #memory: Set<Digest>
  readonly #fate: () => Fate

  constructor(claims: Claims, memory: Set<Digest>, fate: () => Fate) {
    this.#claims = claims
    this.#memory = memory
    this.#fate = fate
  }

  load(rows: readonly Digest[], signal = never, ms = 1): Promise<void> {
    const missing = rows.filter((digest) => !this.#memory.has(digest))
    return this.#claims.load({
      digests: missing,
      signal,
      deadline: now() + 10_000,
      found: (digest) => this.#memory.has(digest),
      fetch: async (digests, landed) => {
        this.loads.push(...digests)
        await sleep(ms)
        for (const digest of digests) {
          const fate = this.#fate()
          if (fate === 'failed') throw new Error('backend failed')
          if (fate === 'kept') this.#memory.add(digest)
          landed(digest)
        }
      },
    })
  }
}

const turns = fc.array(
  fc.record({
    worker: fc.nat(WORKERS - 1),
    rows: fc.uniqueArray(fc.constantFrom(...ROWS), { minLength: 1, maxLength: ROWS.length }),
  }),
  { minLength: 2, maxLength: 12 },
)

async function run(fates: readonly Fate[], plan: { worker: number; rows: Digest[] }[]) {
  const bytes = allocateClaims(64)
  const memory = new Set<Digest>()
  let turn = 0
  const fate = () => fates[turn++ % fates.length] as Fate
  const workers = Array.from(
    { length: WORKERS },
    (_, n) => new Worker(new Claims(tableOf(bytes, n), { now }), memory, fate),
  )
  const settled = await Promise.all(
    workers.map(async (worker, n) => {
      const results: PromiseSettledResult<void>[] = []
      for (const { rows } of plan.filter((each) => each.worker === n))
        results.push(...(await Promise.allSettled([worker.load(rows)])))
      return results
    }),
  )
  return { bytes, results: settled.flat(), loads: workers.flatMap(({ loads }) => loads) }
}

describe('claims of workers', () => {
  it('I16: let each row be loaded once, whoever asks for which', async () => {
    await fc.assert(
      fc.asyncProperty(turns, async (plan) => {
        const { bytes, results, loads } = await run(['kept'], plan)
        expect(results.every(({ status }) => status === 'fulfilled')).toBe(true)
        expect(loads.toSorted()).toEqual([...new Set(loads)].toSorted())
        expect(isEmpty(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('I17: settle everybody and leave nothing, whatever becomes of the loads', async () => {
    const fates = fc.array(fc.constantFrom<Fate>('kept', 'unkept', 'failed'), { minLength: 1, maxLength: 7 })
    await fc.assert(
      fc.asyncProperty(turns, fates, async (plan, endings) => {
        const { bytes, results } = await run(endings, plan)
        expect(results).toHaveLength(plan.length)
        expect(isEmpty(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('are waited for until the caller leaves, and no longer', async () => {
    const bytes = allocateClaims(64)
    const [row] = ROWS as [Digest]
    tableOf(bytes, 1).claim([row])
    const leaving = new AbortController()
    const worker = new Worker(new Claims(tableOf(bytes, 0), { now }), new Set(), () => 'kept')
    const load = worker.load([row], leaving.signal)
    leaving.abort(new Error('left'))
    await expect(load).rejects.toThrow('left')
    expect(worker.loads).toEqual([])
  })

  it('are not waited for where the load hangs', async () => {
    const bytes = allocateClaims(64)
    const [row] = ROWS as [Digest]
    tableOf(bytes, 1).claim([row])
    bytes.since.fill(now() - 6_000)
    const worker = new Worker(new Claims(tableOf(bytes, 0), { now }), new Set(), () => 'kept')
    await worker.load([row])
    expect(worker.loads).toEqual([row])
    expect(isEmpty(bytes)).toBe(false)
  })

  it('are anybody’s once the thread that had them has died', async () => {
    const bytes = allocateClaims(64)
    const [row] = ROWS as [Digest]
    const source = `
      const { ClaimTable } = await load('data/flight/claim-table.ts')
      const table = new ClaimTable(workerData.bytes, { worker: 1, now: () => performance.now() })
      parentPort.postMessage(table.claim([workerData.row]))
      setInterval(() => {}, 1e6)
    `
    const { thread, first } = await startThread(source, { bytes, row })
    expect(first).toEqual(['ours'])
    const worker = new Worker(new Claims(tableOf(bytes, 0), { now }), new Set(), () => 'kept')
    const load = worker.load([row])
    expect(worker.loads).toEqual([])
    await thread.terminate()
    forgetClaims(bytes, 1)
    await load
    expect(worker.loads).toEqual([row])
    expect(isEmpty(bytes)).toBe(true)
  })

  it('are done without where a herd of different rows has taken all places', async () => {
    const bytes = allocateClaims(8)
    const many = Array.from({ length: 50 }, (_, n) => digestOf(`many ${n}`))
    const worker = new Worker(new Claims(tableOf(bytes, 0), { now }), new Set(), () => 'kept')
    await worker.load(many)
    expect(worker.loads).toEqual(many)
    expect(isEmpty(bytes)).toBe(true)
  })
})

describe('a claim that outlasts its load', () => {
  it('is held until its end, however old it is, and by nobody once its worker has died', () => {
    const bytes = allocateClaims(64)
    const [row] = ROWS as [Digest]
    const [one, two] = [tableOf(bytes, 0), tableOf(bytes, 1)]
    one.claim([row])
    // Only its own worker may extend it.
    two.extend(row)
    bytes.since.forEach((since, slot) => {
      if (since > 0) bytes.since[slot] = since - 6_000
    })
    expect(two.claim([row])).toEqual(['none'])
    one.extend(row)
    one.release(row)
    two.end(row)
    expect(two.claim([row])).toMatchObject([{ by: 0 }])
    one.end(row)
    expect(isEmpty(bytes)).toBe(true)
    expect(two.claim([row])).toEqual(['ours'])
    two.extend(row)
    forgetClaims(bytes, 1)
    expect(one.claim([row])).toEqual(['ours'])
    one.release(row)
    expect(isEmpty(bytes)).toBe(true)
  })

  it('is followed where the load can, and not for ever where its holder has nothing to follow', async () => {
    const bytes = allocateClaims(64)
    const [row] = ROWS as [Digest]
    const holder = tableOf(bytes, 2)
    holder.claim([row])
    holder.extend(row)
    const claims = new Claims(tableOf(bytes, 0), { now })
    const log: string[] = []
    const load = (answers: boolean) =>
      claims.load({
        digests: [row],
        signal: never,
        deadline: now() + 10_000,
        found: () => false,
        fetch: async () => void log.push('fetched'),
        follow: async (_, worker) => {
          log.push(`followed ${worker}`)
          return answers
        },
      })
    await load(true)
    await load(false)
    expect(log).toEqual(['followed 2', 'followed 2', 'followed 2', 'fetched'])
    holder.end(row)
    expect(isEmpty(bytes)).toBe(true)
  })
})

describe('a row that nobody waits for', () => {
  it('is loaded by one worker, and not at all where another has it', async () => {
    const bytes = allocateClaims(64)
    const [row] = ROWS as [Digest]
    const [one, two] = [0, 1].map((n) => new Claims(tableOf(bytes, n), { now })) as [Claims, Claims]
    let loads = 0
    const load = async () => {
      loads++
      await sleep(1)
    }
    await Promise.all([one.alone(row, load), two.alone(row, load)])
    expect([loads, isEmpty(bytes)]).toEqual([1, true])
    await expect(two.alone(row, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
    expect(isEmpty(bytes)).toBe(true)
  })
})
