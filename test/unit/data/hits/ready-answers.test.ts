import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { freshId } from '../../../../src/core/own-id.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { bodyFrom, ReadyAnswers, replyFrom } from '../../../../src/data/hits/ready-answers.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const TTL_MS = 1000
const ANSWER = digestOf('answer')

function setup(maxBytes = 1e6) {
  const clock = new FakeClock()
  const ready = new ReadyAnswers({ maxBytes, clock })
  return { clock, ready, entries: () => [{ createdAt: clock.wall(), ttlMs: TTL_MS } as never] }
}

const replyOf = (text: string): Reply => ({ status: 200, headers: [], body: Buffer.from(text) })
const raw = (i: number) => digestOf(`raw ${i}`)

describe('answers by what is asked', () => {
  it('are there once a second request in other bytes was answered; the first is found by its own alone', () => {
    const { ready, entries } = setup()
    const reply = replyOf('same')
    ready.made({ raw: raw(1), answer: ANSWER }, reply, entries())
    expect(ready.get(raw(1))?.reply.body).toEqual(reply.body)
    expect(ready.byMeaning(ANSWER, raw(2), undefined)).toBeUndefined()
    ready.made({ raw: raw(2), answer: ANSWER }, reply, entries())
    expect(ready.get(raw(2))).toBeUndefined()
    expect(ready.byMeaning(ANSWER, raw(2), undefined)?.reply.body).toEqual(reply.body)
  })

  it('are found by bytes that have come before, and take no room for those that come once', () => {
    const { ready, entries } = setup()
    for (const i of [1, 2]) ready.made({ raw: raw(i), answer: ANSWER }, replyOf('same'), entries())
    const { bytes } = ready
    for (let i = 3; i < 1000; i++) ready.byMeaning(ANSWER, raw(i), undefined)
    expect(ready.bytes).toBe(bytes)
    ready.byMeaning(ANSWER, raw(5), undefined)
    expect(ready.get(raw(5))).toBeDefined()
    expect(ready.bytes).toBeGreaterThan(bytes)
  })

  it('are over with their entries, however they are found', () => {
    const { clock, ready, entries } = setup()
    for (const i of [1, 2]) ready.made({ raw: raw(i), answer: ANSWER }, replyOf('same'), entries())
    for (let i = 0; i < 2; i++) ready.byMeaning(ANSWER, raw(3), undefined)
    clock.advance(TTL_MS - 1)
    expect(ready.get(raw(3))).toBeDefined()
    clock.advance(1)
    expect(ready.get(raw(3))).toBeUndefined()
    expect(ready.byMeaning(ANSWER, raw(3), undefined)).toBeUndefined()
  })

  it('are forgotten when the answer was fetched anew', () => {
    const { ready, entries } = setup()
    for (const i of [1, 2]) ready.made({ raw: raw(i), answer: ANSWER }, replyOf('old'), entries())
    ready.forget({ raw: raw(1), answer: ANSWER })
    expect(ready.get(raw(1))).toBeUndefined()
    expect(ready.byMeaning(ANSWER, raw(2), undefined)).toBeUndefined()
    expect(ready.bytes).toBe(0)
  })
})

describe('an answer with an id of its own', () => {
  it('is given with another in all its places', () => {
    const { ready, entries } = setup()
    const ownId = freshId('resp_1')
    const text = `é {"id":"${ownId}"} {"id":"${ownId}","text":"resp_1"} é`
    ready.made({ raw: raw(1), answer: undefined }, { ...replyOf(text), ownId }, entries())
    const answer = ready.get(raw(1))
    if (!answer) throw new Error('it is not there')
    const given = [bodyFrom(answer), bodyFrom(answer), replyFrom(answer).body].map(String)
    const ids = given.map((one) => /resp_[0-9a-f]{32}/.exec(one)?.[0] ?? '')
    expect(new Set([...ids, ownId]).size).toBe(4)
    expect(given.map((one, i) => one.replaceAll(ids[i] as string, ownId))).toEqual([text, text, text])
    expect(String(answer.reply.body)).toBe(text)
  })
})
