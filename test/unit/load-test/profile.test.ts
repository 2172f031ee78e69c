import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom } from '../../../src/lib/seeded-random.ts'
import { callsIn, lengthOf, ProfileError, parseProfile, type Stage } from '../../../src/load-test/profile.ts'
import { Schedule, type Spacing } from '../../../src/load-test/schedule.ts'

function stagesOf(text: string): readonly Stage[] {
  const profile = parseProfile(text)
  if (profile.kind !== 'stages') throw new Error('no stages')
  return profile.stages
}

describe('a profile', () => {
  it.each([
    ['constant:200@30s', [[30_000, 200, 200]]],
    [
      'step:20>200@30s',
      [
        [30_000, 20, 20],
        [30_000, 200, 200],
      ],
    ],
    [
      'ramp:0>500>100@1m',
      [
        [60_000, 0, 500],
        [60_000, 500, 100],
      ],
    ],
    [
      'burst:50>500@8s/500msx2',
      [
        [8000, 50, 50],
        [500, 500, 500],
        [8000, 50, 50],
        [500, 500, 500],
      ],
    ],
    [
      'constant:0.5@1h, ramp:1>2@1s',
      [
        [3_600_000, 0.5, 0.5],
        [1000, 1, 2],
      ],
    ],
  ])('%s', (text, wanted) => {
    expect(stagesOf(text).map(({ ms, from, to }) => [ms, from, to])).toEqual(wanted)
  })

  it('a replay is named by its path, commas and all', () => {
    expect(parseProfile('replay:logs/a,b.jsonl')).toEqual({ kind: 'replay', path: 'logs/a,b.jsonl' })
  })

  it.each([
    ['help', 'step:RATE'],
    ['constant:200', '"constant:200" is no profile'],
    ['constant:1>2@3s', 'is no profile'],
    ['step:20@3s', 'is no profile'],
    ['step:20>200@3', 'is no profile'],
    ['ramp:1>x@3s', 'is no profile'],
    ['burst:1>2@3s', 'is no profile'],
    ['burst:1>2>3@3s/1s', 'is no profile'],
    ['constant:99999999999@1s', 'is no profile'],
    ['constant:0@1s', 'makes no call'],
    ['replay:', 'names no file'],
    ['constant:1@1s,,', 'is no profile'],
  ])('%s is refused, with the forms that there are', (text, message) => {
    expect(() => parseProfile(text)).toThrow(ProfileError)
    expect(() => parseProfile(text)).toThrow(message)
  })
})

function dueTimes(stages: readonly Stage[], spacing: Spacing, of: number): number[][] {
  return Array.from({ length: of }, (_, index) => {
    const schedule = new Schedule(stages, spacing, { index, of }, createRandom(7, String(index)))
    const times: number[] = []
    for (let due = schedule.next(); due !== undefined; due = schedule.next()) times.push(due)
    return times
  })
}

const sorted = (lists: readonly number[][]) => lists.flat().sort((a, b) => a - b)

describe('a schedule', () => {
  it('spaces a constant rate evenly', () => {
    expect(sorted(dueTimes(stagesOf('constant:4@1s'), 'even', 1))).toEqual([0, 250, 500, 750])
  })

  it('changes its rate at the stages', () => {
    const times = sorted(dueTimes(stagesOf('step:2>10@1s'), 'even', 1))
    expect(times.map(Math.round)).toEqual([
      0, 500, 1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 1900,
    ])
  })

  it('makes half of the calls of a ramp in its last 29 %', () => {
    const times = sorted(dueTimes(stagesOf('ramp:0>200@10s'), 'even', 1))
    expect(times).toHaveLength(1000)
    expect(times.filter((ms) => ms > 7071)).toHaveLength(500)
  })

  const stage = fc.record({
    ms: fc.integer({ min: 1, max: 5000 }),
    from: fc.integer({ min: 0, max: 100 }),
    to: fc.integer({ min: 0, max: 100 }),
  })

  it('is the same however many generators share it, and has every call within its stages', () => {
    fc.assert(
      fc.property(
        fc.array(stage, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 5 }),
        (stages, of) => {
          const alone = sorted(dueTimes(stages, 'even', 1))
          const shared = sorted(dueTimes(stages, 'even', of))
          expect(shared).toEqual(alone)
          expect(Math.abs(alone.length - callsIn(stages))).toBeLessThanOrEqual(1)
          for (const ms of alone) expect(ms).toBeLessThanOrEqual(lengthOf(stages))
        },
      ),
    )
  })

  it('at random has the same rate, and gaps as independent callers have', () => {
    const times = sorted(dueTimes(stagesOf('constant:1000@20s'), 'poisson', 3))
    expect(times.length).toBeGreaterThan(19_000)
    expect(times.length).toBeLessThan(21_000)
    const gaps = times.slice(1).map((ms, i) => ms - (times[i] as number))
    // Of an exponential distribution, 1/e are longer than the mean.
    const long = gaps.filter((gap) => gap > 1).length / gaps.length
    expect(long).toBeGreaterThan(0.34)
    expect(long).toBeLessThan(0.4)
  })
})
