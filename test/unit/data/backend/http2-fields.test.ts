/** Heads of answers over HTTP/2: those that repeat are read once, and what is kept for that is bounded. */
import { expect, it } from 'vitest'
import { replyHead } from '../../../../src/data/backend/http2-fields.ts'
import { bytesInUse } from '../../../support/memory.ts'

const head = (value: string) => [':status', '200', 'x-a', value]

it('a head that repeats is read once', () => {
  const first = replyHead(head('b'))
  expect(replyHead(head('b'))).toBe(first)
  expect(first).toMatchObject({ status: 200, headers: ['x-a', 'b'] })
})

it('heads that are long and never the same are not kept', () => {
  const ask = (count: number) => {
    for (let i = 0; i < count; i++)
      expect(replyHead(head(Buffer.alloc(60_000, `${i} `).toString('latin1'))).status).toBe(200)
  }
  ask(20)
  const before = bytesInUse()
  ask(600)
  expect(bytesInUse() - before).toBeLessThan(16 << 20)
})
