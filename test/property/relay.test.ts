/**
 * A generation that runs in one worker and is relayed to others, whose callers join and leave as they like: whoever stays reads
 * all of it, the last one to leave anywhere cancels the backend's work, and what is kept is one entry for all.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Call } from '../../src/core/call.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { digestOf } from '../../src/core/key.ts'
import type { Reply } from '../../src/core/reply.ts'
import { Incoming } from '../../src/data/backend/incoming.ts'
import type { Entry } from '../../src/data/cache/entry.ts'
import { relay } from '../../src/data/generation/relay.ts'
import { follow } from '../../src/data/generation/relayed-generation.ts'
import { RunningGeneration } from '../../src/data/generation/running-generation.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { generation, generationOf } from '../../src/protocol/openai/generation/generation.ts'
import type { Plan } from '../../src/protocol/protocol.ts'
import { eventually } from '../support/eventually.ts'

const WORKERS = 3

const scripts = fc.record({
  steps: fc.array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('send' as const), bytes: fc.integer({ min: 1, max: 90 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('join' as const), worker: fc.nat(WORKERS - 1) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), who: fc.nat(6) }) },
    ),
    { maxLength: 20 },
  ),
  words: fc.array(fc.constantFrom('a', 'é', 'word '), { maxLength: 8 }),
  end: fc.constantFrom('whole', 'cut', 'dead'),
})

const PLAN = generationOf('chat').read(
  {} as Call,
  Buffer.from('{"temperature":0,"stream":true,"stream_options":{"include_usage":true}}'),
  { seed: digestOf(''), split: false },
) as Plan

const ENTRY = { digest: digestOf('kept'), status: 200 } as Entry

const legible = (entry: Entry | undefined) => entry && { ...entry, body: Buffer.from(entry.body).toString() }

function eventsOf(words: readonly string[]): readonly string[] {
  const chunk = (delta: object, finish_reason: string | null) =>
    JSON.stringify({ id: 'c', choices: [{ index: 0, delta, finish_reason }] })
  const said = [...words.map((content) => chunk({ content }, null)), chunk({}, 'stop'), '[DONE]']
  return said.map((data) => `data: ${data}\n\n`)
}

function run(reply: Reply, keep: (events: Uint8Array) => Entry | undefined): RunningGeneration {
  const parts = { generation, plan: PLAN, keptHeaders: [], clock: systemClock, askedAt: 0, measured() {} }
  return new RunningGeneration({ ...parts, reply, keep, maxBytes: 1 << 20 })
}

class Reader {
  text = ''
  hasLeft = false
  isOver = false
  readonly #signal = new Cancel()

  constructor(running: RunningGeneration) {
    const reply = running.replyTo({ plan: PLAN, call: { signal: this.#signal } }, false)
    void this.#read(reply?.body as AsyncIterable<Uint8Array>)
  }

  leave(): void {
    this.hasLeft = true
    this.#signal.abort(new GatewayError('callerLeft', 'left'))
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const piece of body) this.text += Buffer.from(piece).toString()
      this.isOver = true
    } catch {
      expect(this.hasLeft).toBe(true)
    }
  }
}

it('a generation is one for the callers of all workers, whoever comes and goes', {
  timeout: 60_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(scripts, async ({ steps, words, end }) => {
      let cancelled = 0
      const incoming = new Incoming({ pause() {}, resume() {}, abort: () => cancelled++ }, () => {})
      const leader = run({ status: 200, headers: [], body: incoming }, (body) => ({ ...ENTRY, body }))
      const parts = { generations: { find: () => leader }, flights: { join: () => undefined } }
      const followers: RunningGeneration[] = []
      /** The generation as callers of a worker join it: where nobody reads it there any more, it is asked for again. */
      const at = async (worker: number): Promise<RunningGeneration> => {
        if (worker === 0) return leader
        const known = followers[worker]
        if (known && byWorker[worker]?.some(({ hasLeft }) => !hasLeft)) return known
        const waiter = { deadline: 0, group: 0 }
        const asked = { digest: ENTRY.digest, waiter, worker, signal: new Cancel() }
        const relayed = await follow((_, request) => relay(parts, request), asked)
        if (!relayed) throw new Error('there is nothing to follow')
        const running = run(relayed.reply, relayed.keep)
        followers[worker] = running
        return running
      }
      const byWorker: Reader[][] = [[new Reader(leader)], [], []]
      const readers = [byWorker[0]?.[0] as Reader]
      const events = eventsOf(words)
      const sent = end === 'whole' ? events : events.slice(0, -1)
      const text = Buffer.from(sent.join(''))
      const isAbandoned = () => readers.every(({ hasLeft }) => hasLeft)
      let done = 0
      for (const step of steps) {
        if (isAbandoned()) break
        if (step.kind === 'send') {
          const piece = text.subarray(done, done + step.bytes)
          done += piece.length
          if (piece.length > 0) incoming.push(piece)
        } else if (step.kind === 'join') {
          const reader = new Reader(await at(step.worker))
          readers.push(reader)
          byWorker[step.worker]?.push(reader)
        } else readers[step.who]?.leave()
      }
      if (isAbandoned()) {
        await eventually(() => expect(cancelled).toBe(1))
        expect(await leader.over).toBeUndefined()
        return
      }
      if (done < text.length) incoming.push(text.subarray(done))
      if (end === 'dead') incoming.fail(new GatewayError('backendReset', 'gone'))
      else incoming.end([])
      const isKept = end === 'whole'
      expect(legible(await leader.over)).toEqual(isKept ? { ...ENTRY, body: sent.join('') } : undefined)
      const staying = readers.filter(({ hasLeft }) => !hasLeft)
      await eventually(() => expect(staying.every(({ isOver }) => isOver)).toBe(true))
      for (const reader of staying) {
        if (end !== 'dead') expect(reader.text).toBe(sent.join(''))
        else
          expect(reader.text.slice(sent.join('').length)).toMatch(
            /^data: \{"error":\{"message":"gone".*\}\}\n\n$/,
          )
      }
      for (const [worker, own] of byWorker.entries())
        if (worker > 0 && own.some(({ hasLeft }) => !hasLeft))
          expect(legible(await followers[worker]?.over)).toEqual(
            isKept ? { ...ENTRY, body: sent.join('') } : undefined,
          )
      expect(cancelled).toBe(0)
    }),
    { numRuns: 80 },
  )
})
