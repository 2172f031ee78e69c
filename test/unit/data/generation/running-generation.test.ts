import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { Call } from '../../../../src/core/call.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { Incoming } from '../../../../src/data/backend/incoming.ts'
import { RunningGeneration } from '../../../../src/data/generation/running-generation.ts'
import { Cancel } from '../../../../src/lib/cancel.ts'
import { systemClock } from '../../../../src/lib/clock.ts'
import { generation, generationOf } from '../../../../src/protocol/openai/generation/generation.ts'
import type { Plan } from '../../../../src/protocol/protocol.ts'
import { eventually } from '../../../support/eventually.ts'

const PLAN = generationOf('chat').read({} as Call, Buffer.from('{"temperature":0,"stream":true}'), {
  seed: digestOf(''),
  split: false,
}) as Plan

function started(maxBytes: number) {
  let kept = 0
  const incoming = new Incoming({ pause() {}, resume() {}, abort() {} }, () => {})
  const running = new RunningGeneration({
    generation,
    plan: PLAN,
    reply: { status: 200, headers: ['x-request-id', 'a'], body: incoming },
    keptHeaders: [],
    clock: systemClock,
    askedAt: 0,
    measured() {},
    maxBytes,
    keep: () => void kept++,
  })
  const join = () =>
    running.replyTo({ plan: PLAN, call: { signal: new Cancel() } }, false)?.body as AsyncIterable<Uint8Array>
  return { incoming, running, join, kept: () => kept }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

const collect = () => {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

it('lets go of what it has passed on, beside a reader that was cut and reads no more', async () => {
  const { incoming, running, join, kept } = started(64 << 10)
  const idle = join()[Symbol.asyncIterator]()
  const first = idle.next()
  let read = 0
  const reading = (async () => {
    for await (const piece of join()) read += piece.length
  })()
  const event = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(16 << 10)}"}}]}\n\n`
  const pieces: WeakRef<Uint8Array>[] = []
  for (let i = 0; i < 64; i++) {
    const piece = Buffer.from(event)
    pieces.push(new WeakRef(piece))
    incoming.push(piece)
    await settled()
  }
  await eventually(() => {
    collect()
    expect(pieces.filter((piece) => piece.deref()).length).toBeLessThan(8)
  })
  incoming.end([])
  await reading
  expect(read).toBe(64 * event.length)
  await running.over
  expect(kept()).toBe(0)
  await first
  expect(Buffer.from((await idle.next()).value as Uint8Array).toString()).toContain('bytes behind')
})
