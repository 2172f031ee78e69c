/**
 * Shared facts in Redis: one hash, which belongs to one life of the server. A server that was restarted from a snapshot, or
 * a replica that took over, may have lost the newest facts and show older ones in their place, with which answers that
 * were replaced or purged would be found again. The facts themselves do not show that, so each step first checks whose
 * life they belong to, and deletes those of another one: what is lost is made anew, cold but right.
 *
 * A life is the process (`run_id`) and the last time that it took over from another (`master_replid2` and its offset; a
 * master that was a replica for a while has the same process and other data). A replica is not asked: it may be behind.
 * Check and step are one script, so that nothing happens between them, and one key, so that one node of a cluster has it.
 */
import type { ScriptCall } from './redis-leases.ts'
import { script } from './redis-script.ts'
import { factName, MAX_KEYS } from './remote.ts'

/** A number for the meaning of facts: gateways whose builds differ in it share none. */
const SCHEMA = 2

// KEYS: the hash. ARGV: the step, then names; claim and put: the name and its value.
// Where the server does not identify itself (no INFO for this user), all facts count as of one life.
const FACTS = script(`
local function said(section, pattern)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, pattern) or ''
end
if said('replication', 'role:(%a+)') == 'slave' then
  return redis.error_reply('READONLY facts of a replica may be behind')
end
local life = said('server', 'run_id:(%x+)') .. ':' .. said('replication', 'master_replid2:(%x+)')
  .. ':' .. said('replication', 'second_repl_offset:(%-?%d+)')
if redis.pcall('HGET', KEYS[1], '') ~= life then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '', life)
end
if ARGV[1] == 'read' then return redis.call('HMGET', KEYS[1], unpack(ARGV, 2)) end
if ARGV[1] == 'put' then return redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
local present = redis.call('HGET', KEYS[1], ARGV[2])
if present then return present end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return ARGV[3]`)

export interface RedisFacts {
  claim(name: string, value: string): Promise<string>
  facts(names: readonly string[]): Promise<(string | undefined)[]>
  publish(name: string, value: string): Promise<void>
}

export interface FactsHost {
  readonly name: string
  readonly prefix: string
  run(what: 'read' | 'write', script: ScriptCall): Promise<unknown>
}

export function createRedisFacts({ name: tier, prefix, run }: FactsHost): RedisFacts {
  const keys = [`${prefix}facts:${SCHEMA}`]

  async function read(names: readonly string[]): Promise<(string | undefined)[]> {
    const values = await run('read', { ...FACTS, keys, args: ['read', ...names.map(factName)] })
    if (!Array.isArray(values) || values.length !== names.length) {
      throw new Error(`${tier}: the answer does not fit the facts`)
    }
    return values.map((value: unknown) => (value instanceof Uint8Array ? String(value) : undefined))
  }

  return {
    async claim(name, value) {
      const present = await run('write', { ...FACTS, keys, args: ['claim', factName(name), value] })
      if (!(present instanceof Uint8Array)) throw new Error(`${tier}: claim: the answer is no fact`)
      return String(present)
    },

    async facts(names) {
      const parts: Promise<(string | undefined)[]>[] = []
      for (let from = 0; from < names.length; from += MAX_KEYS)
        parts.push(read(names.slice(from, from + MAX_KEYS)))
      return (await Promise.all(parts)).flat()
    },

    async publish(name, value) {
      await run('write', { ...FACTS, keys, args: ['put', factName(name), value] })
    },
  }
}
