import { describe, expect, it } from 'vitest'
import { MAX_COST, missCost } from '../../../../../src/data/cache/memory/miss-cost.ts'
import {
  costOf,
  expectedReads,
  metaMoved,
  metaNew,
  metaPromoted,
  metaRead,
  metaTurned,
} from '../../../../../src/data/cache/memory/record-meta.ts'
import { WORTH_NUMBERS, Worth } from '../../../../../src/data/cache/memory/worth.ts'
import { createRandom } from '../../../../../src/lib/seeded-random.ts'

function newWorth(): Worth {
  const worth = new Worth(new Float64Array(WORTH_NUMBERS))
  worth.clear()
  return worth
}

/** Of a record in the main log that was read once in its last turn. */
const readOnce = (cost: number) => metaPromoted(metaRead(metaNew(cost)))
/** Bits of a record that is not let in whatever it is worth. */
const NEVER = 1

describe('what a miss costs', () => {
  it('is an octave of microseconds, and 16 ms where nobody knows', () => {
    expect([0.001, 1, 2, 2_000].map(missCost)).toEqual([0, 10, 11, 21])
    expect([0, Number.NaN, -1].map(missCost)).toEqual([14, 14, 14])
    expect([1e-9, 1e12, Number.POSITIVE_INFINITY].map(missCost)).toEqual([0, MAX_COST, MAX_COST])
  })
})

describe('what a record is worth', () => {
  it('is enough for four of five, whatever the costs, sizes and reads', () => {
    const random = createRandom(7)
    const worth = newWorth()
    const between = (least: number, most: number) => least + Math.floor(random() * (most - least + 1))
    let stayed = 0
    for (let n = 0; n < 20_000; n++) {
      const meta = metaMoved(metaNew(between(5, 25)), random() * 2)
      if (worth.stays(meta, between(6, 500)) && n >= 10_000) stayed++
    }
    expect(stayed / 10_000).toBeGreaterThan(0.78)
    expect(stayed / 10_000).toBeLessThan(0.82)
  })

  it('keeps what costs more, is smaller or is read more', () => {
    const worth = newWorth()
    const usual = readOnce(14)
    for (let n = 0; n < 2_000; n++) worth.stays(usual, 40)
    const often = metaTurned(metaRead(metaRead(usual)))
    for (const [meta, cells] of [
      [readOnce(16), 40],
      [usual, 10],
      [often, 40],
    ] as const)
      expect(worth.stays(meta, cells)).toBe(true)
    for (const [meta, cells] of [
      [readOnce(12), 40],
      [usual, 160],
      [metaTurned(metaTurned(metaTurned(usual))), 40],
    ] as const)
      expect(worth.stays(meta, cells)).toBe(false)
  })

  it('is nothing some turns after the last read, however dear it is: nothing is kept for ever', () => {
    const worth = newWorth()
    let meta = readOnce(MAX_COST)
    for (let n = 0; n < 10; n++) meta = metaTurned(metaRead(metaRead(metaRead(meta))))
    let turns = 0
    while (worth.stays(meta, 6)) {
      meta = metaTurned(meta)
      turns++
    }
    expect(turns).toBeLessThan(25)
  })

  it('lets in unread records of a cost of which such are read later, and no others', () => {
    const worth = newWorth()
    for (let n = 0; n < 2_000; n++) worth.stays(readOnce(11), 40)
    const [asked, idle] = [21, 22]
    for (let n = 0; n < 200; n++) {
      worth.learn(metaRead(worth.tried(metaNew(asked), 40, 0)))
      worth.learn(worth.tried(metaNew(idle), 40, 0))
    }
    const letIn = worth.tried(metaNew(asked), 40, NEVER)
    expect(costOf(letIn)).toBe(asked)
    expect(expectedReads(letIn)).toBeGreaterThan(0.9)
    expect(worth.tried(metaNew(idle), 40, NEVER)).toBe(0)
    // Some are let in for ever, so it is found out when they are asked for.
    expect(worth.tried(metaNew(idle), 40, 0)).not.toBe(0)
  })
})
