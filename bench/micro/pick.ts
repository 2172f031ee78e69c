/**
 * What a pick costs: nanoseconds and bytes allocated, for every policy, alone and through selection with begin and end.
 *
 *   node --expose-gc bench/micro/pick.ts [--json]
 *
 * Calls are kept in flight while it measures, so that policies compare loads and do not only draw lots.
 */

import type { Backend } from '../../src/core/backend.ts'
import { digestOf } from '../../src/core/key.ts'
import { Outliers } from '../../src/data/balance/outliers/outlier.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createPolicy, type PolicyName, policyNames } from '../../src/data/balance/policies/policies.ts'
import { Selector } from '../../src/data/balance/select.ts'
import { beginCall, createLoadTable, endCall } from '../../src/data/balance/table.ts'
import { createRandom } from '../../src/lib/seeded-random.ts'

const POOLS = [10, 64, 1_000] as const
const ROUND_MS = 60
const ROUNDS = 7
const keys = Array.from({ length: 1_024 }, (_, at) => digestOf(`key ${at}`))

interface Row {
  readonly policy: PolicyName
  readonly backends: number
  /** Median of the rounds. */
  readonly pickNs: number
  readonly bytes: number
  /** Pick, begin and end through the selector, with outlier detection. */
  readonly callNs: number
}

function subject(name: PolicyName, backends: number) {
  const table = createLoadTable(Math.max(backends, 16))
  const random = createRandom(7)
  const context = { table, random, now: () => performance.now() }
  const policy = createPolicy(name, context)
  const slots = Int32Array.from({ length: backends }, (_, slot) => slot)
  policy.members?.(
    slots,
    Array.from(slots, (slot) => `backend-${slot}`),
  )
  for (const slot of slots) {
    table.inflight[slot] = Math.floor(random() * 4)
    for (let call = 0; call < 3; call++) policy.onEnd?.(slot, 5 + random() * 10, 'ok')
  }
  const outliers = new Outliers({ ...context, state: createOutlierState(table.slots) })
  const clock = { now: () => performance.now(), wall: () => Date.now() }
  const selector = new Selector({ table, policy, outliers, clock })
  selector.update({ pool: 'bench', revision: 1, backends: Array.from(slots, backendAt) })
  return { table, policy, slots, selector }
}

function backendAt(slot: number): Backend {
  const url = `http://127.0.0.1:${10_000 + slot}`
  return {
    id: `b${slot}`,
    slot,
    generation: 1,
    url,
    models: [],
    weight: 1,
    state: 'ready',
    reason: '',
    readySince: 0,
  }
}

/** Median nanoseconds of processor time of one `step`: other work on the machine does not count. */
function time(step: (turn: number) => void): number {
  const rounds: number[] = []
  for (let round = 0; round <= ROUNDS; round++) {
    const started = process.cpuUsage()
    let turns = 0
    let spentUs = 0
    while (spentUs < ROUND_MS * 1_000) {
      for (let at = 0; at < 2_000; at++) step(turns++)
      const used = process.cpuUsage(started)
      spentUs = used.user + used.system
    }
    // The first round warms up.
    if (round > 0) rounds.push((spentUs * 1_000) / turns)
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0
}

/** Bytes a step leaves on the heap, over few enough steps that nothing is collected meanwhile. */
function allocated(step: (turn: number) => void): number {
  const steps = 20_000
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let turn = 0; turn < steps; turn++) step(turn)
  return Math.max(0, (process.memoryUsage().heapUsed - before) / steps)
}

function measure(policy: PolicyName, backends: number): Row {
  const one = subject(policy, backends)
  const pick = (turn: number) => {
    const slot = one.policy.pick(one.slots, backends, keys[turn & 1023])
    // The load moves, as it does in life: one in, another out.
    beginCall(one.table, slot)
    endCall(one.table, one.slots[turn % backends] ?? 0, 0)
  }
  const pickNs = time(pick)
  const bytes = allocated(pick)

  const two = subject(policy, backends)
  const ask = { key: keys[0] }
  const result = { ms: 7, ending: 'ok' } as const
  const callNs = time((turn) => {
    ask.key = keys[turn & 1023]
    const chosen = two.selector.pick(ask)
    if (typeof chosen === 'string') throw new Error(`nobody took the call: ${chosen}`)
    two.selector.end(chosen.slot, two.selector.begin(chosen.slot), result)
  })
  return {
    policy,
    backends,
    pickNs: Math.round(pickNs),
    bytes: Math.round(bytes * 10) / 10,
    callNs: Math.round(callNs),
  }
}

const rows = POOLS.flatMap((backends) => policyNames.map((policy) => measure(policy, backends)))
if (process.argv.includes('--json')) console.log(JSON.stringify(rows))
else console.table(rows)
