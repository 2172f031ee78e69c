import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { Splitter } from '../../../../src/data/rows/splitter.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

function workers() {
  const clock = new FakeClock()
  const told: string[] = []
  const all: Splitter[] = []
  const open = () => {
    const own: Splitter = new Splitter({
      clock,
      random: () => 0,
      changed: (found) => {
        told.push(found.state)
        for (const other of all) if (other !== own) other.apply(found)
      },
    })
    all.push(own)
    return own
  }
  return { clock, told, one: open(), two: open() }
}

const kind = (name: string, model = 'm') => ({ model, kind: digestOf(name) })
const [a, b] = [kind('a'), kind('b')]

function compared(splitter: Splitter, of = a, times = 1, agreed: boolean | undefined = true) {
  for (let batch = 0; batch < times; batch++) {
    expect(splitter.begin('auto', of)).toBe(true)
    splitter.end(of, agreed)
  }
}

const splits = (splitter: Splitter, of = a, mode: 'auto' | 'always' = 'auto') =>
  splitter.splits(mode, of.model, () => of.kind)

describe('a proof', () => {
  it('takes twenty comparisons, and is of one kind of one model', () => {
    const { one } = workers()
    compared(one, a, 19)
    expect([splits(one), one.reads('auto', 'm')]).toEqual([false, 'batches'])
    compared(one)
    expect([splits(one), one.reads('auto', 'm')]).toEqual([true, 'rows'])
    expect([splits(one, b), splits(one, kind('a', 'other'))]).toEqual([false, false])
  })

  it('is worked for by as many comparisons at a time as are still needed', () => {
    const { one } = workers()
    const begun = Array.from({ length: 30 }, () => one.begin('auto', a))
    expect(begun.filter(Boolean)).toHaveLength(20)
    one.end(a, undefined)
    expect([one.begin('auto', a), one.begin('auto', a)]).toEqual([true, false])
    expect(one.begin('auto', b)).toBe(true)
  })

  it('holds for the other workers, and is told once', () => {
    const { told, one, two } = workers()
    compared(one, a, 20)
    expect([splits(one), splits(two)]).toEqual([true, true])
    two.begin('auto', a)
    two.end(a, false)
    expect([one.state(a), two.state(a)]).toEqual(['refused', 'refused'])
    expect(told).toEqual(['proved', 'refused'])
  })

  it('is forgotten before the memory of kinds that callers make up has no bound', () => {
    const { one } = workers()
    compared(one, a, 20)
    for (let i = 0; i < 2000; i++) compared(one, kind(`made up ${i}`))
    expect(splits(one)).toBe(true)
    for (let i = 0; i < 2000; i++) compared(one, kind('a', `model ${i}`))
    expect(splits(one)).toBe(false)
  })
})

describe('a disagreement', () => {
  it('of a kind that was being proved ends it there, and makes the others prove themselves ten times over', () => {
    const { one, two } = workers()
    compared(one, a, 20)
    compared(one, b, 1, false)
    expect([one.state(b), two.state(b)]).toEqual(['refused', 'refused'])
    expect([one.begin('auto', b), splits(one), splits(two)]).toEqual([false, false, false])
    compared(one, a, 179)
    expect(splits(one)).toBe(false)
    compared(one, a)
    expect([splits(one), splits(two)]).toEqual([true, true])
  })

  it('of a kind that was split ends it for the whole model', () => {
    const { one, two } = workers()
    compared(one, a, 20)
    compared(two, b, 20)
    compared(one, a, 1, false)
    for (const worker of [one, two]) {
      expect([worker.state(a), worker.state(b), worker.state(kind('new'))]).toEqual(Array(3).fill('refused'))
      expect(worker.reads('auto', 'm')).toBe('whole')
    }
    expect(one.state(kind('a', 'another deployment'))).toBe('unproved')
  })
})

describe('a suspension', () => {
  it('holds for ten minutes where answers did not fit, for that kind, in all workers', () => {
    const { clock, one, two } = workers()
    one.violated(a, 'it has another number of rows')
    expect([splits(one, a, 'always'), splits(two, a, 'always')]).toEqual([false, false])
    expect(splits(two, b, 'always')).toBe(true)
    clock.advance(10 * 60 * 1000)
    expect(splits(two, a, 'always')).toBe(true)
  })

  it('does not follow from rows that do not belong together once', () => {
    const { clock, one } = workers()
    one.mismatched(a)
    one.mismatched(a)
    expect(splits(one, a, 'always')).toBe(true)
    clock.advance(10 * 60 * 1000 + 1)
    one.mismatched(a)
    one.mismatched(a)
    expect(splits(one, a, 'always')).toBe(true)
    one.mismatched(a)
    expect(splits(one, a, 'always')).toBe(false)
  })
})
