import { expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { CallSample } from '../../../../src/data/warm/sample.ts'
import { createRandom } from '../../../../src/lib/seeded-random.ts'

const KEPT = 64 << 10
const subject = { model: 'm', epochs: ['all', 'model:m'] }

function sampleAt(clock: { now: number }, maxBytes = KEPT) {
  const sample = new CallSample({ maxBytes, now: () => clock.now, random: createRandom(7) })
  const note = (name: string, { weight = 1, costMs = 10, bytes = 100, of = subject } = {}) =>
    sample.note({
      id: digestOf(name),
      weight,
      costMs,
      keys: [digestOf(`key of ${name}`)],
      subject: of,
      bytes,
      request: () => ({
        method: 'POST',
        path: `/${name}`,
        query: '',
        host: '',
        headers: [],
        principal: '',
        body: new Uint8Array(bytes),
      }),
    })
  return { sample, note, has: (name: string) => sample.request(digestOf(name)) !== undefined }
}

it('never holds more than it may, however many calls are noted', () => {
  const { sample, note } = sampleAt({ now: 0 })
  for (let i = 0; i < 5_000; i++) {
    note(`once ${i}`, { bytes: 10 + ((i * 37) % 3_000) })
    expect(sample.bytes).toBeLessThanOrEqual(KEPT)
  }
  expect(sample.size).toBeGreaterThan(10)
})

it('keeps what is asked often, costs much and is short, whatever else comes once', () => {
  const { note, has } = sampleAt({ now: 0 })
  for (let i = 0; i < 10; i++) {
    note(`hot ${i}`, { weight: 50 })
    note(`dear ${i}`, { costMs: 500 })
  }
  for (let i = 0; i < 5_000; i++) note(`once ${i}`)
  const kept = Array.from({ length: 10 }, (_, i) => [has(`hot ${i}`), has(`dear ${i}`)]).flat()
  expect(kept.filter(Boolean)).toHaveLength(20)
})

it('lets go what nobody asks any more', () => {
  const clock = { now: 0 }
  const { note, has } = sampleAt(clock)
  for (let i = 0; i < 100; i++) note(`old ${i}`, { weight: 64 })
  clock.now = 3 * 3_600_000
  for (let i = 0; i < 500; i++) note(`new ${i}`)
  expect(Array.from({ length: 100 }, (_, i) => has(`old ${i}`)).filter(Boolean).length).toBeLessThan(10)
})

it('takes no call that would fill it, and gives the best', () => {
  const { sample, note, has } = sampleAt({ now: 0 })
  note('long', { bytes: KEPT / 4, weight: 1e6 })
  expect(has('long')).toBe(false)
  for (let i = 1; i <= 20; i++) note(`call ${i}`, { weight: i })
  const best = sample.best(5).map(({ weight }) => weight)
  expect(best.sort((a, b) => b - a)).toEqual([20, 19, 18, 17, 16])
})

it('forgets by epoch and by key', () => {
  const { note, sample, has } = sampleAt({ now: 0 })
  note('mine')
  note('theirs', { of: { model: 'o', epochs: ['all', 'model:o'] } })
  sample.purged('model:o')
  expect([has('mine'), has('theirs')]).toEqual([true, false])
  sample.forget(digestOf('key of mine'))
  expect([sample.size, sample.bytes]).toEqual([0, 0])
})
