/**
 * Calls with shared system prompts at four servers with prefix caches: where each arm sends them, how much of the prompts was in the
 * caches, and how evenly the servers were busy. All arms see the same calls.
 */
import type { PromptPrefix } from '../../../src/core/prompt-prefix.ts'
import { createPolicy } from '../../../src/data/balance/policies/policies.ts'
import type { Policy } from '../../../src/data/balance/policies/policy.ts'
import {
  beginCall,
  claimSlot,
  createLoadTable,
  endCall,
  type LoadTable,
  tableForWorker,
} from '../../../src/data/balance/table.ts'
import { lane32 } from '../../../src/lib/hash64.ts'
import { createRandom } from '../../../src/lib/seeded-random.ts'
import { constant, poisson } from '../arrivals.ts'
import { Engine } from '../engine.ts'
import { type ModelPlan, ModelServer, type Prompt } from './backend.ts'
import { CacheAware } from './cache-aware.ts'

export interface PrefixWorld {
  readonly seed: number
  readonly perSecond: number
  readonly untilMs: number
  /** System prompts, of which some are asked far more often than others. */
  readonly prompts: number
  /** Exponent of Zipf's law. */
  readonly skew: number
  readonly servers: number
  readonly plan: ModelPlan
  /** A call goes on with a conversation: it has its system prompt and all that was said before. Default: a fifth. */
  readonly conversations?: number
}

/** Four servers of 32 calls; prompts of 1,024 tokens in 16 blocks; the caches hold a third of them each. */
export const WORLD: PrefixWorld = {
  seed: 1,
  perSecond: 60,
  untilMs: 180_000,
  prompts: 128,
  skew: 1,
  servers: 4,
  plan: { slots: 32, cacheBlocks: 128 * 6, blockMs: 20, answerMs: 800 },
}

/** A router: where a call goes, and what is to be called when it has ended. */
export type Router = (prompt: Prompt) => { readonly server: number; readonly ended: (ms: number) => void }

export interface PrefixResult {
  readonly arm: string
  readonly hitShare: number
  /** Mean over time of how much more than the mean the busiest server has outstanding. */
  readonly imbalance: number
  readonly ttftP50Ms: number
  readonly ttftP99Ms: number
}

export function runArm(
  arm: string,
  open: (engine: Engine, servers: number) => Router,
  world: PrefixWorld,
): PrefixResult {
  const engine = new Engine()
  const servers = Array.from({ length: world.servers }, () => new ModelServer(engine, world.plan))
  const route = open(engine, world.servers)
  const next = promptsOf(world)
  const arrivals = poisson(constant(world.perSecond), world.perSecond, createRandom(world.seed, 'arrivals'))
  const arrive = () => {
    const cameAt = engine.now()
    const prompt = next()
    const { server, ended } = route(prompt)
    servers[server]?.accept({ prompt, cameAt, done: () => ended(engine.now() - cameAt) })
    const at = arrivals(cameAt)
    if (at < world.untilMs) engine.at(at, arrive)
  }
  engine.at(arrivals(0), arrive)
  let excess = 0
  let looks = 0
  engine.every(50, () => {
    const loads = servers.map(({ outstanding }) => outstanding)
    const mean = loads.reduce((a, b) => a + b, 0) / loads.length
    if (mean < 1) return
    excess += Math.max(...loads) / mean - 1
    looks++
  })
  engine.run(world.untilMs)
  const asked = servers.reduce((sum, server) => sum + server.asked, 0)
  const hits = servers.reduce((sum, server) => sum + server.hits, 0)
  const times = servers.flatMap(({ firstTokenMs }) => firstTokenMs).sort((a, b) => a - b)
  const quantile = (q: number) => times[Math.floor(q * times.length)] ?? Number.NaN
  return {
    arm,
    hitShare: hits / asked,
    imbalance: excess / Math.max(1, looks),
    ttftP50Ms: quantile(0.5),
    ttftP99Ms: quantile(0.99),
  }
}

/** The prompts of the calls: a system prompt of 16 blocks by Zipf's law, what was said before, and two blocks of the caller's own. */
export function promptsOf({ seed, prompts, skew, conversations = 0.2 }: PrefixWorld): () => Prompt {
  const random = createRandom(seed, 'prompts')
  const weights = Array.from({ length: prompts }, (_, at) => 1 / (at + 1) ** skew)
  const total = weights.reduce((a, b) => a + b, 0)
  const open: string[][] = []
  let calls = 0
  const drawn = () => {
    let left = random() * total
    return weights.findIndex((weight) => (left -= weight) < 0)
  }
  return () => {
    const own = [`own ${++calls} 1`, `own ${calls} 2`]
    const goesOn = open.length > 0 && random() < conversations
    const at = Math.floor(random() * open.length)
    const system = drawn()
    const before = goesOn
      ? (open[at] ?? [])
      : Array.from({ length: 16 }, (_, block) => `system ${system} ${block}`)
    const blocks = [...before, ...own]
    if (goesOn) open[at] = blocks
    else if (open.length < 200) open.push(blocks)
    else open[Math.floor(random() * open.length)] = blocks
    return { blocks: blocks.slice(0, 64) }
  }
}

/** The gateway's policy, in so many workers to which calls come at random. */
export function ours(policy: 'prefix' | 'peak-ewma', seed: number, { workers = 1, isShared = true } = {}) {
  return (engine: Engine, servers: number): Router => {
    const tables = tablesOf(workers, isShared)
    const slots = Int32Array.from({ length: servers }, (_, slot) => slot)
    const policies = tables.map((table, worker): [LoadTable, Policy] => {
      for (const slot of slots) claimSlot(table, slot, slot + 1)
      const random = createRandom(seed, `policy ${worker}`)
      const made = createPolicy(policy, { table, random, now: () => engine.now() })
      made.members?.(
        slots,
        Array.from(slots, (slot) => `server-${slot}`),
      )
      return [table, made]
    })
    const lot = createRandom(seed, 'workers')
    return ({ blocks }) => {
      const [table, made] = policies[Math.floor(lot() * workers)] as [LoadTable, Policy]
      const server = made.pick(slots, servers, undefined, prefixOf(blocks))
      const incarnation = beginCall(table, server)
      made.onStart?.(server)
      return {
        server,
        ended(ms) {
          endCall(table, server, incarnation)
          made.onEnd?.(server, ms, 'ok')
        },
      }
    }
  }
}

/** Load tables of several workers; where it is not `isShared`, each remembers prefixes for itself. */
function tablesOf(workers: number, isShared: boolean): LoadTable[] {
  const table = createLoadTable(2048, workers)
  return Array.from({ length: workers }, (_, worker) => {
    const own = tableForWorker(table, worker)
    return isShared ? own : { ...own, prefixes: createLoadTable(2048).prefixes }
  })
}

export const cacheAware = (_: Engine, servers: number): Router => {
  const router = new CacheAware(servers)
  return ({ blocks }) => {
    const server = router.pick(blocks)
    return { server, ended: () => router.ended(server) }
  }
}

/** As a dialect makes it, of blocks whose names have the ones before them in them. */
function prefixOf(blocks: readonly string[]): PromptPrefix {
  const lanes = new Int32Array(2 * blocks.length)
  for (const [at, block] of blocks.entries()) {
    lanes[2 * at] = lane32(block, 1)
    lanes[2 * at + 1] = lane32(block, 2)
  }
  return { lanes, blocks: blocks.length }
}
