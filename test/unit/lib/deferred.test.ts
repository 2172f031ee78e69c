import { describe, expect, it } from 'vitest'
import { type Awaitable, after, all, Deferred } from '../../../src/lib/deferred.ts'

const WHY = new Error('no')

/** What a listener has received so far. */
function heard<T>(coming: Awaitable<T>): unknown[] {
  const told: unknown[] = []
  coming.then(
    (value) => void told.push(value),
    (error) => void told.push(error),
  )
  return told
}

describe('a Deferred', () => {
  it('calls its listener within the turn in which it settles, and one that subscribes afterwards at once', () => {
    const later = new Deferred<string>()
    const told = heard(later)
    expect([told, later.isSettled]).toEqual([[], false])
    later.settle('come')
    expect([told, heard(later), later.isSettled]).toEqual([['come'], ['come'], true])
  })

  it('keeps its first outcome', () => {
    const [good, bad] = [new Deferred<string>(), new Deferred<string>()]
    good.settle('first')
    good.settle('second')
    good.fail(WHY)
    bad.fail(WHY)
    bad.settle('late')
    expect([heard(good), heard(bad)]).toEqual([['first'], [WHY]])
  })

  it('can be awaited', async () => {
    const [good, bad] = [new Deferred<string>(), new Deferred<string>()]
    queueMicrotask(() => good.settle('come'))
    bad.fail(WHY)
    expect(await good).toBe('come')
    await expect((async () => bad)()).rejects.toBe(WHY)
  })
})

describe('what is made of one', () => {
  it('comes in the same turn, whether it is a value or comes later itself', () => {
    const [source, second] = [new Deferred<number>(), new Deferred<number>()]
    const told = [
      heard(after(source, (n) => n + 1)),
      heard(after(second, (n) => after(second, (m) => n + m))),
    ]
    source.settle(1)
    second.settle(2)
    expect(told).toEqual([[2], [4]])
  })

  it('fails with what it throws, and with the failure of its source', () => {
    const [source, bad] = [new Deferred<number>(), new Deferred<number>()]
    const throwing = heard(
      after(source, () => {
        throw WHY
      }),
    )
    const told = heard(after(bad, (n) => n))
    source.settle(1)
    bad.fail(WHY)
    expect([throwing, told]).toEqual([[WHY], [WHY]])
  })

  it('may follow a promise', async () => {
    const source = new Deferred<number>()
    source.settle(1)
    expect(await after(source, async (n) => n + 1)).toBe(2)
    expect(await after(Promise.resolve(3), (n) => n + 1)).toBe(4)
  })
})

describe('all of several', () => {
  it('come with their values in order', () => {
    const three = [new Deferred<number>(), new Deferred<number>(), new Deferred<number>()] as const
    const told = heard(all(three))
    three[2].settle(3)
    three[0].settle(1)
    expect(told).toEqual([])
    three[1].settle(2)
    expect(told).toEqual([[1, 2, 3]])
    expect(heard(all([]))).toEqual([[]])
  })

  it('fail with the first failure', () => {
    const two = [new Deferred<number>(), new Deferred<number>()] as const
    const told = heard(all(two))
    two[1].fail(WHY)
    two[0].settle(1)
    expect(told).toEqual([WHY])
  })
})
