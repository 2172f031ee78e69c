import { describe, expect, it } from 'vitest'
import { listenForBell, Neighbours } from '../../../../../src/data/balance/policies/neighbours.ts'
import { createLoadTable, forgetWorker, tableForWorker } from '../../../../../src/data/balance/table.ts'
import { eventually } from '../../../../support/eventually.ts'

const room = () => true

const EVERYBODY = { account: 0, priority: 1, eligibility: 0, isMixed: false }
const at = (since: number | undefined) => (since === undefined ? undefined : { since, ...EVERYBODY })

/** So many calls of one tenant wait, the first since then. */
function publish(worker: Neighbours, since: number | undefined, depth: number): void {
  worker.publish(at(since), {
    calls: Int32Array.of(0, depth, 0),
    weights: Float64Array.of(0, depth > 0 ? 1 : 0, 0),
  })
}

function workers(count: number) {
  const table = createLoadTable(8, count)
  const tables = Array.from({ length: count }, (_, worker) => tableForWorker(table, worker))
  const all = tables.map((each) => new Neighbours(each, 'main'))
  return { table, tables, all: all as [Neighbours, Neighbours, Neighbours] }
}

describe('neighbours', () => {
  it('leave a place to the call that has waited longest, once', () => {
    const { table, all } = workers(3)
    const [own, second, third] = all
    expect(own.leavesPlace(undefined, room)).toBe(false)
    publish(second, 200, 1)
    publish(third, 100, 1)
    expect(own.leavesPlace(at(50), room)).toBe(false)
    expect([...table.bell]).toEqual([0, 0, 0])
    expect(own.leavesPlace(at(150), room)).toBe(true)
    expect([...table.bell]).toEqual([0, 0, 1])
    // It may wait for something else: the next place is ours, and it is told of that as well.
    expect(own.leavesPlace(at(150), room)).toBe(false)
    expect([...table.bell]).toEqual([0, 0, 2])
    publish(third, undefined, 0)
    expect(own.leavesPlace(undefined, room)).toBe(true)
    expect([...table.bell]).toEqual([0, 1, 2])
  })

  it('know how many wait for the pool in all the others', () => {
    const { all } = workers(3)
    const [own, second, third] = all
    publish(second, 100, 3)
    publish(third, 100, 4)
    expect(all.map(({ queued }) => queued)).toEqual([7, 4, 3])
    publish(third, undefined, 0)
    expect(own.queued).toBe(3)
  })

  it('are not rung where there is no room, nor for another pool, nor for a worker that has ended', () => {
    const { table, all } = workers(3)
    const [own, second] = all
    publish(second, 100, 1)
    expect(own.leavesPlace(undefined, () => false)).toBe(false)
    const other = new Neighbours(tableForWorker(table, 0), 'other')
    expect(other.leavesPlace(undefined, room)).toBe(false)
    expect([own.queued, other.queued]).toEqual([1, 0])
    forgetWorker(table, 1)
    expect(own.leavesPlace(undefined, room)).toBe(false)
    expect([...table.bell]).toEqual([0, 0, 0])
  })

  it('are left no place that is of no use to them', () => {
    const { table, all } = workers(3)
    const [own, second, third] = all
    const backlog = { calls: Int32Array.of(0, 1, 0), weights: Float64Array.of(0, 1, 0) }
    second.publish({ since: 100, ...EVERYBODY, eligibility: 7 }, backlog)
    const mayHave = (eligibility: number) => eligibility !== 7
    expect(own.leavesPlace(undefined, mayHave)).toBe(false)
    expect(own.mustYield(at(200), mayHave)).toBe(false)
    publish(third, 150, 1)
    expect(own.leavesPlace(at(200), mayHave)).toBe(true)
    expect([...table.bell]).toEqual([0, 0, 1])
    expect(own.leavesPlace(undefined, room)).toBe(true)
    expect([...table.bell]).toEqual([0, 1, 1])
  })

  it('are woken for those behind their first, where that has no use for what is free', () => {
    const { table, all } = workers(3)
    const [own, second, third] = all
    const backlog = { calls: Int32Array.of(0, 2, 0), weights: Float64Array.of(0, 2, 0) }
    second.publish({ since: 100, ...EVERYBODY, eligibility: 7, isMixed: true }, backlog)
    third.publish({ since: 100, ...EVERYBODY, eligibility: 7 }, backlog)
    const mayHave = (eligibility: number) => eligibility !== 7
    own.offer(() => false, mayHave)
    expect([...table.bell]).toEqual([0, 0, 0])
    own.offer(room, mayHave)
    expect([...table.bell]).toEqual([0, 1, 0])
    forgetWorker(table, 1)
    own.offer(room, mayHave)
    expect([...table.bell]).toEqual([0, 1, 0])
  })

  it('hear the bell until they are told to stop', async () => {
    const { tables, all } = workers(3)
    const [own, second] = all
    let heard = 0
    const stop = new AbortController()
    const listening = listenForBell(tables[1] as (typeof tables)[number], () => heard++, stop.signal)
    for (let ring = 1; ring <= 3; ring++) {
      publish(second, ring, 1)
      own.leavesPlace(undefined, room)
      await eventually(() => expect(heard).toBe(ring))
    }
    stop.abort()
    publish(second, 9, 1)
    own.leavesPlace(undefined, room)
    await listening
    expect(heard).toBe(3)
  })
})
