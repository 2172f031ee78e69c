import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Batcher, type BatcherOptions, createBatcher } from '../../../../src/data/batch/batcher.ts'
import type { Batched, BatchShare } from '../../../../src/data/batch/submission.ts'
import type { Signal } from '../../../../src/lib/cancel.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

/** A request as the backend got it, to be answered by the test. */
interface Sent {
  readonly shares: readonly BatchShare<string, string>[]
  readonly rows: readonly string[]
  readonly signal: Signal
  readonly deadline: number
  /** Answers each row with itself in capitals. */
  answer(): void
  refuse(): void
  fail(): void
}

type Options = Partial<BatcherOptions<string, string, string, string>>

function setup(options: Options = {}) {
  const clock = new FakeClock()
  const sent: Sent[] = []
  const state = { busy: true }
  const batcher: Batcher<string, string, string, string> = createBatcher({
    clock,
    maxRows: 4,
    maxDelayMs: 2,
    busy: () => state.busy,
    send: (shares, { signal, deadline }) => {
      const { promise, resolve, reject } = Promise.withResolvers<Batched<string, string>>()
      const rows = shares.flatMap((share) => share.rows)
      const answer = () => resolve({ answers: rows.map((row) => row.toUpperCase()) })
      const refuse = () => resolve({ refused: `refused ${rows.join(' ')}` })
      const fail = () => reject(new Error('backend is down'))
      signal.addEventListener('abort', () => reject(signal.reason))
      sent.push({ shares, rows, signal, deadline, answer, refuse, fail })
      return promise
    },
    ...options,
  })
  const submit = (text: string, more: { group?: string; deadline?: number; signal?: Signal } = {}) => {
    const rows = text.split(' ')
    return batcher.submit({
      group: more.group ?? 'g',
      job: text,
      rows,
      bytes: text.length,
      deadline: more.deadline ?? clock.now() + 1_000,
      signal: more.signal ?? new AbortController().signal,
    })
  }
  const rows = () => sent.map((each) => each.rows.join(' '))
  return { clock, sent, state, batcher, submit, rows }
}

describe('the batcher', () => {
  it('sends at once, each caller by himself, while the backend has room', async () => {
    const { state, sent, submit, rows, batcher, clock } = setup()
    state.busy = false
    const [a, b] = [submit('a b'), submit('c')]
    expect(rows()).toEqual(['a b', 'c'])
    expect([batcher.waiting, batcher.sending, clock.pending]).toEqual([0, 2, 0])
    for (const each of sent) each.answer()
    expect(await Promise.all([a, b])).toEqual([{ answers: ['A', 'B'] }, { answers: ['C'] }])
    expect(batcher.sending).toBe(0)
  })

  it('gathers while the backend is busy, and sends what it has after maxDelay', async () => {
    const { clock, sent, submit, rows } = setup()
    const a = submit('a')
    clock.advance(1)
    const b = submit('b')
    expect(rows()).toEqual([])
    clock.advance(1)
    expect(rows()).toEqual(['a b'])
    sent[0]?.answer()
    expect(await Promise.all([a, b])).toEqual([{ answers: ['A'] }, { answers: ['B'] }])
    expect(clock.pending).toBe(0)
  })

  it('sends as soon as there are maxRows, and cuts a long call into requests of that size', async () => {
    const { clock, sent, submit, rows, batcher } = setup()
    const a = submit('a b c')
    const d = submit('d e')
    expect(rows()).toEqual(['a b c d'])
    const long = submit('f g h i j k')
    expect(rows()).toEqual(['a b c d', 'e f g h'])
    expect(batcher.waiting).toBe(3)
    clock.advance(2)
    expect(rows()).toEqual(['a b c d', 'e f g h', 'i j k'])
    for (const each of sent.toReversed()) each.answer()
    expect(await Promise.all([a, d, long])).toEqual([
      { answers: ['A', 'B', 'C'] },
      { answers: ['D', 'E'] },
      { answers: ['F', 'G', 'H', 'I', 'J', 'K'] },
    ])
  })

  it('never sends more than the backend declares to take, busy or not', () => {
    const { state, submit, rows } = setup({ maxBatch: () => 2 })
    void submit('a b c')
    expect(rows()).toEqual(['a b'])
    state.busy = false
    void submit('d e')
    expect(rows()).toEqual(['a b', 'c d', 'e'])
  })

  it('sends more bytes than maxBytes only where one row alone has them', () => {
    const { submit, rows } = setup({ maxBytes: 6 })
    void submit('aa')
    void submit('a-very-long-row')
    void submit('bb cc')
    expect(rows()).toEqual(['aa', 'a-very-long-row'])
  })

  it('sends what waits when a request of its own has ended and the backend has room again', async () => {
    const { state, sent, submit, rows, clock } = setup({ maxDelayMs: 1_000 })
    state.busy = false
    const first = submit('a')
    state.busy = true
    void submit('b')
    void submit('c', { group: 'other' })
    expect(rows()).toEqual(['a'])
    state.busy = false
    sent[0]?.answer()
    await first
    await turn()
    expect(rows()).toEqual(['a', 'b', 'c'])
    expect(clock.pending).toBe(0)
  })

  it('does not wait where the nearest deadline leaves only the time it takes to answer', () => {
    const { clock, submit, rows, sent } = setup({ maxDelayMs: 500, serviceMs: () => 30 })
    void submit('a', { deadline: clock.now() + 400 })
    void submit('b', { deadline: clock.now() + 100 })
    clock.advance(64)
    expect(rows()).toEqual([])
    clock.advance(1)
    expect(rows()).toEqual(['a b'])
    expect(sent[0]?.deadline).toBe(1_400)
    void submit('c', { deadline: clock.now() + 20 })
    clock.advance(0)
    expect(rows()).toEqual(['a b', 'c'])
  })

  it('keeps groups apart', () => {
    const { clock, submit, rows } = setup()
    void submit('a', { group: 'one' })
    void submit('b', { group: 'two' })
    void submit('c', { group: 'one' })
    clock.advance(2)
    expect(rows()).toEqual(['a c', 'b'])
  })

  it('takes out a caller who leaves before the send', async () => {
    const { clock, submit, rows, batcher, sent } = setup()
    const left = new AbortController()
    const [gone, stays] = [submit('a b', { signal: left.signal }), submit('c')]
    left.abort(new Error('left'))
    await expect(gone).rejects.toThrow('left')
    expect(batcher.waiting).toBe(1)
    clock.advance(2)
    expect(rows()).toEqual(['c'])
    sent[0]?.answer()
    expect(await stays).toEqual({ answers: ['C'] })
    await expect(submit('d', { signal: left.signal })).rejects.toThrow('left')
  })

  it('cancels a request when all of its callers have left, and not before', async () => {
    const { clock, submit, sent, batcher } = setup()
    const [one, two] = [new AbortController(), new AbortController()]
    const waits = Promise.allSettled([
      submit('a', { signal: one.signal }),
      submit('b', { signal: two.signal }),
    ])
    clock.advance(2)
    one.abort(new Error('left'))
    expect(sent[0]?.signal.aborted).toBe(false)
    two.abort(new Error('left too'))
    expect(sent[0]?.signal.aborted).toBe(true)
    expect(await waits).toMatchObject([{ reason: new Error('left') }, { reason: new Error('left too') }])
    await turn()
    expect(batcher.sending).toBe(0)
  })

  it('splits a refused request once, so that only the guilty call hears of the refusal', async () => {
    const { clock, submit, sent, rows } = setup()
    const [good, guilty, other] = [submit('a b'), submit('poison'), submit('c')]
    expect(rows()).toEqual(['a b poison c'])
    sent[0]?.refuse()
    await turn()
    expect(rows().slice(1)).toEqual(['a b', 'poison', 'c'])
    sent[1]?.answer()
    sent[2]?.refuse()
    sent[3]?.answer()
    expect(await Promise.all([good, guilty, other])).toEqual([
      { answers: ['A', 'B'] },
      { refused: 'refused poison' },
      { answers: ['C'] },
    ])
    clock.advance(1_000)
    expect(sent).toHaveLength(4)
  })

  it('does not send again for a caller who left while his batch was refused', async () => {
    const { submit, sent, rows } = setup()
    const left = new AbortController()
    const gone = submit('a', { signal: left.signal })
    const stays = submit('b c d')
    left.abort(new Error('left'))
    sent[0]?.refuse()
    await expect(gone).rejects.toThrow('left')
    await turn()
    expect(rows()).toEqual(['a b c d', 'b c d'])
    sent[1]?.answer()
    expect(await stays).toEqual({ answers: ['B', 'C', 'D'] })
  })

  it('shares a failure of the backend with all callers and does not send again', async () => {
    const { submit, sent } = setup()
    const waits = Promise.allSettled([submit('a b'), submit('c d')])
    sent[0]?.fail()
    expect((await waits).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    await turn()
    expect(sent).toHaveLength(1)
  })

  it('tells all callers of a refusal that has nothing to do with the rows, and does not send again', async () => {
    const asked: number[] = []
    const send = async (shares: readonly unknown[]) => {
      asked.push(shares.length)
      return { refused: 'overloaded', forAll: true }
    }
    const { submit } = setup({ send })
    const both = await Promise.all([submit('a b'), submit('c d')])
    expect(both.map((each) => ('refused' in each ? each.refused : ''))).toEqual(['overloaded', 'overloaded'])
    expect(asked).toEqual([2])
  })

  it('takes answers that are not one a row for a failure', async () => {
    const { submit } = setup({ send: async () => ({ answers: ['only one'] }), busy: () => false })
    await expect(submit('a b')).rejects.toThrow('a batch of 2 rows was answered with 1')
  })

  it('lets no more rows wait than it may, and none after it is closed', () => {
    const { submit, batcher, rows } = setup({ maxRows: 100, maxWaiting: 3 })
    void submit('a b', { group: 'one' })
    void submit('c d', { group: 'two' })
    expect(rows()).toEqual(['c d'])
    expect(batcher.waiting).toBe(2)
    batcher.close()
    void submit('e')
    expect(rows()).toEqual(['c d', 'a b', 'e'])
    expect(batcher.waiting).toBe(0)
  })
})
