import { describe, expect, it } from 'vitest'
import { factName, Outstanding, retryDelay, within } from '../../../../../src/data/cache/tiers/remote.ts'

describe('what remote tiers share', () => {
  it('tries again after at most two seconds, and not always after the same', () => {
    const delays = Array.from({ length: 200 }, (_, n) => retryDelay(n + 1))
    expect(Math.max(...delays)).toBeLessThanOrEqual(2_000)
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(50)
    expect(new Set(delays.slice(100)).size).toBeGreaterThan(20)
  })

  it('makes of every name a key that a server takes, and never the same of two', () => {
    const names = ['a', 'a b', 'x'.repeat(150), 'x'.repeat(151), '', '~', 'ü', '\r\n']
    const keys = names.map((name) => factName(name))
    expect(new Set(keys).size).toBe(names.length)
    for (const key of keys) expect(key).toMatch(/^[\x21-\x7e]{1,250}$/)
  })

  it('rejects at once when too much waits, and counts what timed out until it really ends', async () => {
    const outstanding = new Outstanding(() => {})
    let end = () => {}
    const never = new Promise<void>((resolve) => {
      end = resolve
    })
    const run = () => outstanding.run({ what: 'get', ms: 5, start: () => never })
    const waiting = Array.from({ length: 2_048 }, run)
    await expect(run()).rejects.toThrow(/too many operations/)
    const outcomes = await Promise.allSettled(waiting)
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
    await expect(run()).rejects.toThrow(/too many operations/)
    end()
    await never
    expect(await run()).toBeUndefined()
  })

  it('gives a connection up after four unanswered operations in a row, not after errors', async () => {
    let silences = 0
    const outstanding = new Outstanding(() => {
      silences++
    })
    const run = (start: () => Promise<void>) => outstanding.run({ what: 'get', ms: 1, start }).catch(() => {})
    for (let n = 0; n < 10; n++) await run(() => Promise.reject(new Error('no')))
    for (let n = 0; n < 3; n++) await run(() => new Promise(() => {}))
    await run(() => Promise.resolve())
    for (let n = 0; n < 3; n++) await run(() => new Promise(() => {}))
    expect(silences).toBe(0)
    await run(() => new Promise(() => {}))
    expect(silences).toBe(1)
  })

  it('does not call an answer late that arrived while the event loop was busy', async () => {
    const answer = new Promise<string>((resolve) => setTimeout(() => resolve('in time'), 1))
    const waited = within(5, answer, 'get')
    const until = performance.now() + 30
    while (performance.now() < until);
    expect(await waited).toBe('in time')
  })
})
