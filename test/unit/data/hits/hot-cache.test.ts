import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { HotCache } from '../../../../src/data/hits/hot-cache.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const LIFE = { bytes: 600, expiresAt: 1e9 }
/** Of 1,000 bytes each, bookkeeping included. */
const ROOM = 10

function filled(count: number) {
  const clock = new FakeClock()
  const hot = new HotCache<number>({ maxBytes: ROOM * 1000, clock })
  for (let i = 0; i < count; i++) hot.set(digestOf(`${i}`), i, LIFE)
  return { clock, hot }
}

describe('ready answers by digest', () => {
  it('are what was set last, also where many digests have the same place', () => {
    const hot = new HotCache<number>({ maxBytes: 1e9, clock: new FakeClock() })
    for (let i = 0; i < 20_000; i++) hot.set(digestOf(`${i}`), i, LIFE)
    for (let turn = 0; turn < 3; turn++)
      for (let i = 0; i < 20_000; i++) expect(hot.get(digestOf(`${i}`))).toBe(i)
    hot.set(digestOf('7'), -7, LIFE)
    expect(hot.get(digestOf('7'))).toBe(-7)
  })

  it('are gone when others need the room, when they are deleted, and when all are dropped', () => {
    const { hot } = filled(1)
    expect(hot.get(digestOf('0'))).toBe(0)
    for (let i = 1; i <= ROOM; i++) hot.set(digestOf(`${i}`), i, LIFE)
    expect(hot.get(digestOf('0'))).toBeUndefined()
    expect(hot.get(digestOf('5'))).toBe(5)
    hot.delete(digestOf('5'))
    expect(hot.get(digestOf('5'))).toBeUndefined()
    expect(hot.get(digestOf('6'))).toBe(6)
    hot.clear()
    expect(hot.get(digestOf('6'))).toBeUndefined()
    expect(hot.bytes).toBe(0)
  })

  it('are gone when their time has come, however often they were asked for', () => {
    const { clock, hot } = filled(0)
    hot.set(digestOf('a'), 1, { bytes: 600, expiresAt: clock.now() + 50 })
    for (let i = 0; i < 40; i++) expect(hot.get(digestOf('a'))).toBe(1)
    clock.advance(50)
    expect(hot.get(digestOf('a'))).toBeUndefined()
  })

  it('stay while they are asked for, and others go', () => {
    const { hot } = filled(ROOM)
    for (let i = ROOM; i < 10 * ROOM; i++) {
      for (let turn = 0; turn < 16; turn++) expect(hot.get(digestOf('3'))).toBe(3)
      hot.set(digestOf(`${i}`), i, LIFE)
    }
    expect(hot.get(digestOf('4'))).toBeUndefined()
  })
})
