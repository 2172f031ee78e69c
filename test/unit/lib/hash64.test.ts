import { describe, expect, it } from 'vitest'
import { lane32, unit53 } from '../../../src/lib/hash64.ts'

describe('the placing hash', () => {
  it('is uniform over pairs of keys and ids that differ by one bit', () => {
    const bins = new Array<number>(16).fill(0)
    for (let key = 0; key < 8_000; key++) {
      const unit = unit53(key, 0, 7, key & 1)
      bins[Math.floor(unit * 16)] = (bins[Math.floor(unit * 16)] ?? 0) + 1
    }
    for (const bin of bins) expect(Math.abs(bin - 500)).toBeLessThan(120)
  })

  it('stays strictly between 0 and 1', () => {
    for (let key = 0; key < 1_000; key++) {
      const unit = unit53(key, ~key, key * 3, -key)
      expect(unit).toBeGreaterThan(0)
      expect(unit).toBeLessThan(1)
    }
  })

  it('tells similar names apart in both lanes', () => {
    const names = Array.from({ length: 5_000 }, (_, at) => `http://10.0.${at >> 8}.${at & 255}:8000`)
    expect(new Set(names.map((name) => lane32(name, 1))).size).toBeGreaterThan(4_997)
    expect(new Set(names.map((name) => `${lane32(name, 1)} ${lane32(name, 2)}`)).size).toBe(5_000)
  })
})
