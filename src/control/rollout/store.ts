/**
 * Where rollouts are kept: in the store that gateways share, so that any of them can go on after a restart, or in this process. A rollout
 * is replaced only by whoever has read its present revision: two gateways that both believe to lead cannot both move it.
 */
import type { SharedStore } from '../../core/shared.ts'
import { publishIn } from '../scale/scale-group-store.ts'
import type { Rollout } from './state.ts'

export interface Kept {
  readonly revision: number
  readonly rollout: Rollout
}

/** Every call settles in time, and rejects where the store cannot be reached. */
export interface RolloutStore {
  /** By route. */
  read(): Promise<ReadonlyMap<string, Kept>>
  /** False: another revision than this one is there. 0: none. */
  write(rollout: Rollout, revision: number): Promise<boolean>
  /** Tells the other gateways what was seen here, and gives what they have told. */
  publish(
    member: string,
    value: string,
    ttlMs: number,
  ): Promise<readonly { readonly member: string; readonly value: string }[]>
}

// KEYS: hash. ARGV: route, revision that is replaced, value.
const WRITE = `
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local revision = kept and string.match(kept, '^(%d+) ') or '0'
if revision ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', tonumber(revision) + 1, ARGV[3]))
return 1`

const READ = `return redis.call('HGETALL', KEYS[1])`

// One hash tag, so that on a cluster they lie together.
const STATES = '{rollout}:states'

export function createRolloutStore(store: Pick<SharedStore, 'run'>): RolloutStore {
  return {
    async read() {
      const answer = await store.run(READ, [STATES], [])
      const flat = Array.isArray(answer) ? answer.map(String) : []
      return new Map(flat.flatMap((route, i) => (i % 2 === 0 ? pairOf(route, flat[i + 1] ?? '') : [])))
    },
    async write(rollout, revision) {
      const value = JSON.stringify(rollout)
      return Number(await store.run(WRITE, [STATES], [rollout.route, `${revision}`, value])) === 1
    },
    publish: (member, value, ttlMs) => publishIn(store, '{rollout}:seen', { member, value, ttlMs }),
  }
}

function pairOf(route: string, text: string): [string, Kept][] {
  const [, revision, json = ''] = /^(\d+) (.*)$/s.exec(text) ?? []
  return revision === undefined
    ? []
    : [[route, { revision: Number(revision), rollout: JSON.parse(json) as Rollout }]]
}

/** For a gateway that shares nothing. A restart forgets it, and the weights of the YAML are in force again. */
export class LocalRolloutStore implements RolloutStore {
  readonly #kept = new Map<string, Kept>()

  async read(): Promise<ReadonlyMap<string, Kept>> {
    return this.#kept
  }

  async write(rollout: Rollout, revision: number): Promise<boolean> {
    if ((this.#kept.get(rollout.route)?.revision ?? 0) !== revision) return false
    this.#kept.set(rollout.route, { revision: revision + 1, rollout })
    return true
  }

  async publish(): Promise<readonly never[]> {
    return []
  }
}
