/**
 * The shared state of gateways that scale together, in their common store: a lock with a TTL and a counter beside it,
 * and a hash for each topic. Times are the store's own, so that no gateway's clock counts.
 */
import type { SharedStore } from '../../core/shared.ts'
import type { ScaleGroupStore } from './scale-group.ts'

// KEYS: lock, counter. ARGV: holder, ttl. Answers whether the holder leads, and the leader's token.
const LEAD = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if holder then return {holder == ARGV[1] and 1 or 0, tonumber(redis.call('GET', KEYS[2]) or '0')} end
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return {1, redis.call('INCR', KEYS[2])}`

// KEYS: hash. ARGV: member, value, ttl. Answers member, value, member, value … of those that are not too old.
const PUBLISH = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now, ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local out = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at, value = string.match(all[i + 1], '^(%d+) (.*)$')
  if at and now - tonumber(at) <= tonumber(ARGV[3]) then
    out[#out + 1] = all[i]
    out[#out + 1] = value
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return out`

// One hash tag, so that on a cluster the keys of one script lie together.
const key = (name: string) => `{scale}:${name}`

export function createScaleGroupStore(store: Pick<SharedStore, 'run'>): ScaleGroupStore {
  return {
    async lead(holder, ttlMs) {
      const answer = await store.run(LEAD, [key('leader'), key('token')], [holder, `${ttlMs}`])
      const [leads, token] = Array.isArray(answer) ? answer : []
      return { isLeader: Number(leads) === 1, token: Number(token) }
    },
    publish: (pool, member, value, ttlMs) => publishIn(store, key(`pool:${pool}`), { member, value, ttlMs }),
  }
}

/** Puts the value of a member into a hash, and gives those of all whose values are not too old. */
export async function publishIn(
  store: Pick<SharedStore, 'run'>,
  hash: string,
  { member, value, ttlMs }: { readonly member: string; readonly value: string; readonly ttlMs: number },
): Promise<{ readonly member: string; readonly value: string }[]> {
  const answer = await store.run(PUBLISH, [hash], [member, value, `${ttlMs}`])
  const flat = Array.isArray(answer) ? answer.map(String) : []
  return flat.flatMap((name, i) => (i % 2 === 0 ? [{ member: name, value: flat[i + 1] ?? '' }] : []))
}
