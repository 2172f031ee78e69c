/**
 * Leases in Redis, as small scripts: each step is one round trip and atomic. A lease is a key beside its value's, in the
 * same slot of a cluster by the hash tag. On a cluster each entry has its own script call, pipelined by node. A script
 * that the server does not know, or has forgotten, is sent whole.
 */
import type { Digest } from '../../../core/key.ts'
import type { LeaseAnswer, LeaseTier, LeaseWant } from './lease-tier.ts'
import { type Script, script } from './redis-script.ts'
import { MAX_KEYS } from './remote.ts'

/** What the scripts need of the tier: its keys, its bounds, and a way to run a script under its deadlines. */
export interface ScriptHost {
  readonly name: string
  readonly cluster: boolean
  readonly maxEntryBytes: number
  valueKey(digest: Digest): string
  leaseKey(digest: Digest): string
  /** Rejects with the server's message, `NOSCRIPT …` among them, or when the deadline has passed. */
  run(what: 'read' | 'write', script: ScriptCall): Promise<unknown>
}

export interface ScriptCall extends Script {
  readonly keys: readonly string[]
  readonly args: readonly (string | Buffer)[]
}

// KEYS: value, lease, value, lease … ARGV: token, ttl, then for each value the SHA-1 of the unwanted one or ''.
// Replies: 1 and the value; 2: granted; 3 and the holder; 4: no lease can be written. A server that is full, or a replica,
// still returns the values it has: one key without a lease must not cost the others their values.
const ACQUIRE = script(`
local out = {}
for i = 1, #KEYS, 2 do
  local value = redis.call('GET', KEYS[i])
  local unwanted = ARGV[2 + (i + 1) / 2]
  if value and (unwanted == '' or redis.sha1hex(value) ~= unwanted) then
    out[#out + 1] = {1, value}
  else
    local set = redis.pcall('SET', KEYS[i + 1], ARGV[1], 'NX', 'PX', ARGV[2])
    if set and set.err then
      out[#out + 1] = {4}
    elseif set then
      out[#out + 1] = {2}
    else
      local holder = redis.call('GET', KEYS[i + 1])
      out[#out + 1] = holder == ARGV[1] and {2} or {3, holder}
    end
  end
end
return out`)

const RENEW = script(`
local out = {}
for i = 1, #KEYS do
  local held = redis.call('GET', KEYS[i]) == ARGV[1]
  out[i] = held and redis.call('PEXPIRE', KEYS[i], ARGV[2]) or 0
end
return out`)

const FILL = script(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
return 1`)

const RELEASE = script(`
local released = 0
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then released = released + redis.call('DEL', KEYS[i]) end
end
return released`)

/** The leases of one Redis tier. */
export function createRedisLeases(host: ScriptHost): LeaseTier {
  const perScript = host.cluster ? 1 : MAX_KEYS
  const bothKeys = (digest: Digest) => [host.valueKey(digest), host.leaseKey(digest)]

  async function acquire(wants: readonly LeaseWant[], token: string, ttlMs: number): Promise<LeaseAnswer[]> {
    const answers = await each(wants, perScript, async (part) => {
      const keys = part.flatMap(({ digest }) => bothKeys(digest))
      const args = [token, whole(ttlMs), ...part.map(({ not }) => not ?? '')]
      return list(await host.run('read', { ...ACQUIRE, keys, args }), part.length)
    })
    return answers.map((answer) => leaseAnswer(answer, host))
  }

  async function renew(digests: readonly Digest[], token: string, ttlMs: number): Promise<boolean[]> {
    const held = await each(digests, perScript, async (part) => {
      const call = { ...RENEW, keys: part.map(host.leaseKey), args: [token, whole(ttlMs)] }
      return list(await host.run('write', call), part.length)
    })
    return held.map((answer) => answer === 1)
  }

  async function fill(digest: Digest, token: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    if (value.length > host.maxEntryBytes) {
      throw new Error(`${host.name}: ${value.length} bytes are more than maxEntryBytes ${host.maxEntryBytes}`)
    }
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
    const args = [token, bytes, whole(ttlMs)]
    return (await host.run('write', { ...FILL, keys: bothKeys(digest), args })) === 1
  }

  async function release(digests: readonly Digest[], token: string): Promise<void> {
    await each(digests, perScript, async (part) => {
      await host.run('write', { ...RELEASE, keys: part.map(host.leaseKey), args: [token] })
      return part
    })
  }

  return { acquire, renew, fill, release }
}

function whole(ms: number): string {
  return `${Math.max(1, Math.ceil(ms))}`
}

/** Runs at once over parts of at most `max`; the results are in order. */
async function each<T, R>(
  all: readonly T[],
  max: number,
  run: (part: readonly T[]) => Promise<readonly R[]>,
): Promise<R[]> {
  const parts: Promise<readonly R[]>[] = []
  for (let from = 0; from < all.length; from += max) parts.push(run(all.slice(from, from + max)))
  return (await Promise.all(parts)).flat()
}

function list(answer: unknown, count: number): unknown[] {
  if (Array.isArray(answer) && answer.length === count) return answer
  throw new Error('the answer does not fit the keys')
}

function leaseAnswer(answer: unknown, { maxEntryBytes }: ScriptHost): LeaseAnswer {
  const [kind, detail] = Array.isArray(answer) ? answer : []
  if (kind === 1 && detail instanceof Uint8Array) {
    return detail.length <= maxEntryBytes ? { kind: 'value', value: detail } : { kind: 'none' }
  }
  if (kind === 4) return { kind: 'none' }
  if (kind === 2) return { kind: 'granted' }
  if (kind === 3) return { kind: 'held', by: String(detail) }
  throw new Error('the answer is none of a lease')
}
