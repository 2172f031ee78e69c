import { describe, expect, it } from 'vitest'
import type { PromptPrefix } from '../../../../../src/core/prompt-prefix.ts'
import { prefix } from '../../../../../src/data/balance/policies/prefix.ts'
import { beginCall, claimSlot, endCall, tableForWorker } from '../../../../../src/data/balance/table.ts'
import { createRandom } from '../../../../../src/lib/seeded-random.ts'
import { benchOf, type PolicyBench } from '../../../../../src/testing/policy.ts'

const TEN_MINUTES = 600_000

function bench(count: number): PolicyBench {
  const made = benchOf((context) => prefix(context), count)
  for (const slot of made.slots) claimSlot(made.table, slot, slot + 1)
  return made
}

/** A prompt of these blocks. */
function prompt(...blocks: readonly number[]): PromptPrefix {
  const lanes = new Int32Array(2 * blocks.length)
  for (const [at, block] of blocks.entries()) lanes.set([block * 7919, block], 2 * at)
  return { lanes, blocks: blocks.length }
}

const SYSTEM = Array.from({ length: 16 }, (_, at) => 100 + at)

/** Sends a call, which goes on; returns where it went. */
function send({ policy, table, slots }: PolicyBench, of: PromptPrefix): number {
  const slot = policy.pick(slots, slots.length, undefined, of)
  beginCall(table, slot)
  policy.onStart?.(slot)
  return slot
}

function end({ policy, table, clock }: PolicyBench, slot: number, ms = 10): void {
  // Long enough for a new median of the pool, by which backends are judged that have answered nothing yet.
  clock.nowMs += 200
  endCall(table, slot, table.incarnation[slot] ?? 0)
  policy.onEnd?.(slot, ms, 'ok')
}

/** Sends a call, which ends at once. */
function serve(on: PolicyBench, of: PromptPrefix): number {
  const slot = send(on, of)
  end(on, slot)
  return slot
}

describe('prefix', () => {
  it('sends a prompt where its beginning was sent', () => {
    const on = bench(4)
    const home = serve(on, prompt(...SYSTEM, 1))
    for (let call = 2; call < 40; call++) expect(serve(on, prompt(...SYSTEM, call))).toBe(home)
  })

  it('sends a conversation where most of it was sent', () => {
    const on = bench(2)
    const [one = 0, other = 0] = on.slots
    const home = serve(on, prompt(...SYSTEM, 1))
    // The other has the same beginning, and what was said since.
    on.table.inflight[home] = 50
    const talk = prompt(...SYSTEM, 1, 2, 3)
    const second = serve(on, talk)
    expect(second).toBe(home === one ? other : one)
    on.table.inflight[home] = 0
    for (let call = 0; call < 20; call++)
      expect(serve(on, prompt(...SYSTEM, 1, 2, 3, 90 + call))).toBe(second)
  })

  it('spreads prompts that have nothing in common', () => {
    const on = bench(4)
    const counts = new Map<number, number>()
    for (let call = 0; call < 400; call++) {
      const slot = serve(on, prompt(...SYSTEM.map((block) => block + 1_000 * (call + 1))))
      counts.set(slot, (counts.get(slot) ?? 0) + 1)
    }
    expect([...counts.values()]).toEqual([100, 100, 100, 100])
  })

  it('does not drown a backend in a popular prefix', () => {
    const on = bench(4)
    const running = new Map<number, number>()
    for (let call = 0; call < 80; call++) {
      const slot = send(on, prompt(...SYSTEM, call))
      running.set(slot, (running.get(slot) ?? 0) + 1)
    }
    expect(running.size).toBe(4)
    expect(Math.max(...running.values())).toBeLessThanOrEqual(41)
  })

  it('leaves a backend that fails or has become slow, whatever it has in its cache', () => {
    const on = bench(3)
    const home = serve(on, prompt(...SYSTEM, 1))
    for (const slot of on.slots) on.policy.onEnd?.(slot, 10, 'ok')
    for (let call = 0; call < 20; call++) on.policy.onEnd?.(home, 1, 'error')
    expect(serve(on, prompt(...SYSTEM, 2))).not.toBe(home)
  })

  it('forgets a backend that was replaced, and what is long ago', () => {
    const on = bench(4)
    const homes = () => new Set(Array.from({ length: 30 }, (_, at) => serve(on, prompt(...SYSTEM, at))))
    const [home = 0] = homes()
    claimSlot(on.table, home, 999)
    on.table.inflight[home] = 9
    const [second = 0] = homes()
    expect(second).not.toBe(home)
    on.table.inflight[home] = 0
    on.clock.nowMs += TEN_MINUTES + 1
    on.table.inflight[second] = 9
    expect(homes()).not.toContain(second)
  })

  it('is known to all workers', () => {
    const on = bench(4)
    const one = tableForWorker(on.table, 0)
    const second = prefix({ table: one, random: createRandom(9), now: () => on.clock.nowMs })
    second.members?.(on.slots, ['a', 'b', 'c', 'd'])
    for (let call = 0; call < 20; call++) {
      const blocks = SYSTEM.map((block) => block + 1_000 * call)
      const home = serve(on, prompt(...blocks, 1))
      expect(second.pick(on.slots, 4, undefined, prompt(...blocks, 2))).toBe(home)
    }
  })

  it('chooses as peak-ewma without a prompt, and beyond the table', () => {
    const on = bench(4)
    const none = { lanes: new Int32Array(0), blocks: 0 }
    expect(new Set(Array.from({ length: 60 }, () => serve(on, none))).size).toBe(4)
    // Far more blocks than there are entries.
    for (let call = 0; call < 3_000; call++)
      expect(on.slots).toContain(serve(on, prompt(call, call + 1, call + 2)))
  })
})
