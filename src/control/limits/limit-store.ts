/**
 * What gateways on one store know of each other's tenants: who is there, a short list of their newest reports, and the counts
 * of the quotas. One script in each round does it all. Times are the store's own, so that no gateway's clock counts.
 */
import type { QuotaUse } from '../../core/limit-report.ts'
import type { SharedStore } from '../../core/shared.ts'

export interface ExchangeRequest {
  readonly gateway: string
  /** One that is sent again has the same number, and counts once. */
  readonly number: number
  /** Undefined: there is nothing to say. */
  readonly report: string | undefined
  readonly quotas: readonly QuotaUse[]
  /** The `sequence` of the last answer; undefined: there was none. */
  readonly last: number | undefined
}

export interface ExchangeAnswer {
  /** The store's time, in Unix milliseconds. */
  readonly now: number
  /** The gateways that were there within the last seconds, with this one. */
  readonly gateways: number
  readonly sequence: number
  /** What the others have reported since `last`. */
  readonly reports: readonly { readonly gateway: string; readonly text: string }[]
  /** For each quota of the request, what all have used. */
  readonly totals: readonly number[]
  /** False: something else lies where the gateways keep their reports, so nothing was passed on. The quotas are right. */
  readonly isHeard: boolean
  /** For people: where something else lies, and what to do. A quota there is counted by each gateway for itself. */
  readonly problems: readonly string[]
}

/** Every call settles in time, and rejects where the store is unreachable. */
export interface LimitStore {
  readonly connected: boolean
  exchange(request: ExchangeRequest): Promise<ExchangeAnswer>
  /** This gateway is no more. */
  leave(gateway: string): Promise<void>
}

/** A gateway that has been silent for so long is not counted. */
const PRESENT_MS = 2_000
/** For so long the number of its last request is kept. */
const KEPT_MS = 60_000
/** Reports that are kept: six rounds of ten gateways. */
const MOST_REPORTS = 64
/** A quota's count outlives its period by this, in case clocks are set back. */
const AFTERLIFE_MS = 3 * 86_400_000

/**
 * KEYS: gateways, sequence, reports, and a hash for each period of quotas. ARGV: gateway, number, report, last sequence, the
 * times and the bound above; then for each quota the index of its hash, field, used, known, and when the hash may go. What
 * lies there and is no count (nor is NaN) counts as none, and a key with another type is told: neither must end the exchange of
 * everything else.
 */
const EXCHANGE = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local odd = {}
local function isOf(kind, key, answer)
  if type(answer) ~= 'table' or not answer.err then return true end
  odd[#odd + 1] = kind .. ' ' .. key
  return false
end
local sent = redis.pcall('HGET', KEYS[1], ARGV[1])
local count = redis.pcall('GET', KEYS[2])
local isHeard = isOf('hash', KEYS[1], sent)
isHeard = isOf('string', KEYS[2], count) and isHeard
isHeard = isOf('zset', KEYS[3], redis.pcall('ZSCORE', KEYS[3], '')) and isHeard
local isNew, gateways, sequence, reports = true, 1, 0, {}
if isHeard then
  isNew = string.match(sent or '', ' (%d+)$') ~= ARGV[2]
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now, ARGV[2]))
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  gateways = 0
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local age = math.abs(now - (tonumber(string.match(all[i + 1], '^%d+')) or 0))
    if age <= tonumber(ARGV[5]) then gateways = gateways + 1
    elseif age > tonumber(ARGV[6]) then redis.call('HDEL', KEYS[1], all[i]) end
  end
  if count and #count <= 14 and string.match(count, '^%d+$') then sequence = tonumber(count) end
  if isNew and ARGV[3] ~= '' then
    if sequence == 0 then redis.call('DEL', KEYS[3]) end
    sequence = sequence + 1
    local number = string.format('%.0f', sequence)
    redis.call('SET', KEYS[2], number, 'PX', ARGV[6])
    redis.call('ZADD', KEYS[3], number, number .. ' ' .. ARGV[1] .. ' ' .. ARGV[3])
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', sequence - tonumber(ARGV[7]))
    redis.call('PEXPIRE', KEYS[3], ARGV[6])
  end
  local last = tonumber(ARGV[4]) or sequence
  if last > sequence then last = 0 end
  if last < sequence then reports = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. last, '+inf') end
end
local totals = {}
for i = 8, #ARGV, 5 do
  local key = KEYS[tonumber(ARGV[i])]
  local kept = redis.pcall('HGET', key, ARGV[i + 1])
  local fits = isOf('hash', key, kept)
  kept = fits and tonumber(kept or '0')
  if not (kept and kept < math.huge) then kept = 0 end
  local total = math.max(kept, tonumber(ARGV[i + 3]))
  if isNew then
    total = total + tonumber(ARGV[i + 2])
    if fits then
      redis.call('HSET', key, ARGV[i + 1], string.format('%.0f', total))
      redis.call('PEXPIRE', key, ARGV[i + 4] - now)
    end
  end
  totals[#totals + 1] = string.format('%.0f', total)
end
return {string.format('%.0f', now), gateways, sequence, reports, totals, isHeard and 1 or 0, odd}`

const LEAVE = `return redis.call('HDEL', KEYS[1], ARGV[1])`

// One hash tag, so that on a cluster the keys of one script lie together.
const key = (name: string) => `shared:{limits}:${name}`
const KEYS = ['gateways', 'sequence', 'reports'].map(key)

export function createLimitStore(store: Pick<SharedStore, 'run' | 'connected'>): LimitStore {
  return {
    get connected() {
      return store.connected
    },
    async exchange({ gateway, number, report = '', quotas, last }) {
      const periods = [...new Set(quotas.map(({ period }) => period))]
      const bounds = [PRESENT_MS, KEPT_MS, MOST_REPORTS].map(String)
      const answer = await store.run(
        EXCHANGE,
        [...KEYS, ...periods.map((period) => key(`quota:${period}`))],
        [
          ...[gateway, `${number}`, report, `${last ?? ''}`, ...bounds],
          ...quotas.flatMap((quota) => [
            `${KEYS.length + 1 + periods.indexOf(quota.period)}`,
            fieldOf(quota),
            `${quota.used}`,
            `${quota.known}`,
            `${quota.until + AFTERLIFE_MS}`,
          ]),
        ],
      )
      return read(answer, gateway)
    },
    async leave(gateway) {
      await store.run(LEAVE, KEYS.slice(0, 1), [gateway])
    },
  }
}

/** The account in 16 hexadecimal digits. */
function fieldOf({ high, low }: Pick<QuotaUse, 'high' | 'low'>): string {
  return [high, low].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('')
}

type ScriptAnswer = [
  now: string,
  gateways: number,
  sequence: number,
  reports: string[],
  totals: string[],
  isHeard: number,
  odd: string[],
]

function read(answer: unknown, self: string): ExchangeAnswer {
  const [now, gateways, sequence, reports, totals, isHeard, odd] = answer as ScriptAnswer
  return {
    now: Number(now),
    gateways: Math.max(1, gateways),
    sequence: sequence,
    reports: reports
      .map((line) => {
        const [, gateway = '', text = ''] = line.split(' ')
        return { gateway, text }
      })
      .filter(({ gateway }) => gateway !== self),
    totals: totals.map(Number),
    isHeard: isHeard === 1,
    problems: [...new Set(odd)].map(problemOf),
  }
}

/** `odd`: the type that belongs there, and the key. */
function problemOf(odd: string): string {
  const [, kind = '', at = ''] = /^(\S+) (.*)$/s.exec(odd) ?? []
  return `what Redis holds at ${at} is no ${kind}, which gateways keep there: see who wrote it, and remove it (DEL)`
}
