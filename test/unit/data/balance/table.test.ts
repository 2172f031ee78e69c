import { describe, expect, it } from 'vitest'
import {
  beginCall,
  claimSlot,
  createLoadTable,
  endCall,
  forgetWorker,
  incarnationOf,
  inflightOf,
  loadOf,
  tableForWorker,
} from '../../../../src/data/balance/table.ts'

describe('the load table', () => {
  it('adds up the calls of all workers', () => {
    const table = createLoadTable(4, 3)
    for (let worker = 0; worker < 3; worker++) beginCall(tableForWorker(table, worker), 2)
    expect(inflightOf(table, 2)).toBe(3)
    expect(inflightOf(table, 1)).toBe(0)
  })

  it('forgets what a dead worker had running, and only that', () => {
    const table = createLoadTable(4, 2)
    beginCall(table, 1)
    beginCall(tableForWorker(table, 1), 1)
    beginCall(tableForWorker(table, 1), 3)
    forgetWorker(table, 1)
    expect([inflightOf(table, 1), inflightOf(table, 3)]).toEqual([1, 0])
  })

  it('counts what other gateways run there into the load, and not into the calls of ours', () => {
    const table = createLoadTable(2)
    beginCall(table, 0)
    table.peers[0] = 4
    expect([inflightOf(table, 0), loadOf(table, 0)]).toEqual([1, 5])
  })

  it('does not count the end of a call against the next backend at the same slot', () => {
    const table = createLoadTable(2)
    claimSlot(table, 1, incarnationOf('a', 1))
    const old = beginCall(table, 1)
    claimSlot(table, 1, incarnationOf('b', 1))
    const fresh = beginCall(table, 1)
    expect(endCall(table, 1, old)).toBe(false)
    expect(inflightOf(table, 1)).toBe(1)
    expect(endCall(table, 1, fresh)).toBe(true)
    expect(inflightOf(table, 1)).toBe(0)
  })

  it('clears a slot for a new holder once, however many workers hear of it', () => {
    const table = createLoadTable(2, 2)
    table.ewmaMs[1] = 80
    expect(claimSlot(table, 1, incarnationOf('b', 7))).toBe(true)
    expect(table.ewmaMs[1]).toBe(0)
    beginCall(table, 1)
    expect(claimSlot(tableForWorker(table, 1), 1, incarnationOf('b', 7))).toBe(false)
    expect(inflightOf(table, 1)).toBe(1)
  })

  it('tells two registrations apart by id as well as by generation', () => {
    const all = ['a', 'b', 'ab', 'ba'].flatMap((id) =>
      [1, 2, 3].map((generation) => incarnationOf(id, generation)),
    )
    expect(new Set(all).size).toBe(all.length)
    expect(all).not.toContain(0)
  })

  it('refuses a worker it has no row for', () => {
    expect(() => tableForWorker(createLoadTable(2, 2), 2)).toThrow('worker 2 has no row')
  })
})
