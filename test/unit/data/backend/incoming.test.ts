import { expect, it } from 'vitest'
import { Incoming } from '../../../../src/data/backend/incoming.ts'

/** A connection that, like undici, gives what waits at once when it is resumed, and always a piece of nothing first. */
function eager(pieces: number) {
  let left = pieces
  const now = { isPaused: false }
  const flow = {
    pause: () => void (now.isPaused = true),
    resume() {
      now.isPaused = false
      body.push(new Uint8Array(0))
      pump()
    },
    abort: () => {},
  }
  const body = new Incoming(flow, () => {})
  const pump = () => {
    for (; left > 0 && !now.isPaused; left--) body.push(new Uint8Array(64 << 10))
    if (left === 0 && !now.isPaused) body.end([])
  }
  pump()
  return body
}

it('an answer is collected to its end over a connection that resumes at once', async () => {
  const { complete, bytes } = await eager(32).collect(4 << 20)
  expect([complete, bytes.length]).toEqual([true, 2 << 20])
})

it('one that is too long to be collected stays readable from its beginning', async () => {
  const body = eager(64)
  expect(await body.collect(1 << 20)).toMatchObject({ complete: false })
  let size = 0
  for await (const piece of body) size += piece.length
  expect(size).toBe(4 << 20)
})

it('the first piece is told once, at once where it has come', () => {
  const flow = { pause: () => {}, resume: () => {}, abort: () => {} }
  const body = new Incoming(flow, () => {})
  let told = 0
  body.whenBegun(() => told++)
  body.push(new Uint8Array(0))
  expect(told).toBe(0)
  body.push(new Uint8Array(1))
  body.push(new Uint8Array(1))
  expect(told).toBe(1)
  body.whenBegun(() => told++)
  expect(told).toBe(2)
})

it('whoever watches sees each piece once, read or not, and those that had come before', async () => {
  const flow = { pause: () => {}, resume: () => {}, abort: () => {} }
  const body = new Incoming(flow, () => {})
  const seen: number[] = []
  body.push(Uint8Array.of(1))
  body.watch((piece) => seen.push(...piece))
  body.push(Uint8Array.of(2, 3))
  expect(seen).toEqual([1, 2, 3])
  body.end([])
  expect((await body.collect(10)).bytes).toEqual(Buffer.of(1, 2, 3))
  expect(seen).toEqual([1, 2, 3])
})
