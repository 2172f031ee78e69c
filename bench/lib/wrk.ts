/**
 * The load: wrk with a Lua script, because a load generator on Node is slower than the servers it would measure.
 * The bodies of a scenario are data; the script that sends them is written here.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { LOAD_CORE, TASKSET } from './process.ts'

/** Requests as a scenario describes them; `bytes` is the length of a body. */
export type Bodies =
  /** `{"instances": [[floats]]}`, so many of them, again and again; with further header fields, if any. */
  | {
      readonly kind: 'cycle'
      readonly bytes: number
      readonly distinct: number
      readonly fields?: Readonly<Record<string, string>>
    }
  /** The same, each with a `traceparent`: one for all, or another for each request. */
  | {
      readonly kind: 'traced'
      readonly bytes: number
      readonly distinct: number
      readonly traces: 'one' | 'many'
    }
  /** The same, each with white space as it was never sent before: equal to the model, not to a cache of bytes. */
  | { readonly kind: 'respelled'; readonly bytes: number; readonly distinct: number }
  /** No two are equal. */
  | { readonly kind: 'unique'; readonly bytes: number }
  /** Batches of rows (floats throughout: a batch that mixes in integers is another tensor), of which all but `rows - known` come again and again. */
  | { readonly kind: 'batch'; readonly rows: number; readonly known: number; readonly values: number }

export interface Measured {
  readonly requests: number
  readonly seconds: number
  /** Broken connections, time-outs, and answers that are errors. */
  readonly errors: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export interface Load {
  readonly script: string
  readonly url: string
  readonly connections: number
  readonly seconds: number
  /** As taskset has them; default: the core that is the load's. */
  readonly cores?: string
  readonly threads?: number
}

/** Writes the script for wrk and gives its path. */
export function loadScript(folder: string, name: string, bodies: Bodies): string {
  const file = join(folder, `${name}.lua`)
  writeFileSync(file, luaScript(bodies))
  return file
}

export function luaScript(bodies: Bodies): string {
  return `${COMMON}\n${BODIES[bodies.kind](bodies as never)}\n${LUA_RESULT}`
}

// A body is a number and what comes after it, so that thousands of any size are made in a moment. Each run is given
// a number of its own, from which what must be unique counts; each thread of a run, a part of that.
const COMMON = `
local headers = { ["Content-Type"] = "application/json", ["Host"] = "bench" }
local threads, fresh = 0, 0
function setup(each) threads = threads + 1; each:set("part", threads) end
local function begin(args) fresh = tonumber(args[1] or args[2] or 1) * 1e9 + part * 1e8 end
local function value(seed) return string.format("0.%06d", seed * 7919 % 1000003 % 1000000) end
local OPEN = '{"instances":[[0.1'
local function rest(bytes)
  local out, left, i = {}, bytes - #OPEN - 15 - 3, 0
  while left >= 18 do
    i = i + 1
    out[i] = "," .. value(i)
    left = left - 9
  end
  out[i + 1] = ",0." .. string.rep("5", left - 3)
  return table.concat(out) .. "]]"
end
local function body(number, tail) return OPEN .. string.format("%015d", number) .. tail .. "}" end
`

const BODIES = {
  cycle: ({ bytes, distinct, fields = {} }: Extract<Bodies, { kind: 'cycle' }>) => `
local requests, at = {}, 0
${Object.entries(fields)
  .map(([name, value]) => `headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`)
  .join('\n')}
function init(args)
  begin(args)
  local tail = rest(${bytes})
  for i = 1, ${distinct} do requests[i] = wrk.format("POST", nil, headers, body(i, tail)) end
end
function request() at = at % ${distinct} + 1; return requests[at] end`,
  // Between the two halves of a request go the 32 digits of its trace.
  traced: ({ bytes, distinct, traces }: Extract<Bodies, { kind: 'traced' }>) => `
local heads, tails, at = {}, {}, 0
local DIGITS = string.rep("0", 32)
function init(args)
  begin(args)
  headers["traceparent"] = "00-" .. DIGITS .. "-00f067aa0ba902b7-01"
  local tail = rest(${bytes})
  for i = 1, ${distinct} do
    local text = wrk.format("POST", nil, headers, body(i, tail))
    local from, to = string.find(text, "00-" .. DIGITS, 1, true)
    heads[i], tails[i] = string.sub(text, 1, from + 2), string.sub(text, to + 1)
  end
end
function request()
  at = at % ${distinct} + 1
  fresh = fresh + ${traces === 'many' ? 1 : 0}
  return heads[at] .. string.format("%032d", fresh) .. tails[at]
end`,
  // The white space before the last brace spells a number, a bit a character.
  respelled: ({ bytes, distinct }: Extract<Bodies, { kind: 'respelled' }>) => `
local heads, at, spelled = {}, 0, {}
function init(args)
  begin(args)
  local tail = rest(${bytes} - 48)
  for i = 1, ${distinct} do
    local text = wrk.format("POST", nil, headers, body(i, tail .. string.rep(" ", 48)))
    heads[i] = string.sub(text, 1, #text - 49)
  end
  for byte = 0, 255 do
    local bits = {}
    for bit = 0, 7 do bits[bit + 1] = math.floor(byte / 2 ^ bit) % 2 == 0 and " " or "\\t" end
    spelled[byte] = table.concat(bits)
  end
end
function request()
  at = at % ${distinct} + 1
  fresh = fresh + 1
  local n = fresh
  local text = heads[at]
  local space = {}
  for i = 1, 6 do space[i] = spelled[n % 256]; n = math.floor(n / 256) end
  return text .. table.concat(space) .. "}"
end`,
  unique: ({ bytes }: Extract<Bodies, { kind: 'unique' }>) => `
local head, tail
function init(args)
  begin(args)
  local text = wrk.format("POST", nil, headers, body(0, rest(${bytes})))
  local _, at = string.find(text, OPEN, 1, true)
  head, tail = string.sub(text, 1, at), string.sub(text, at + 16)
end
function request() fresh = fresh + 1; return head .. string.format("%015d", fresh) .. tail end`,
  batch: ({ rows, known, values }: Extract<Bodies, { kind: 'batch' }>) => `
local head, tail
function init(args)
  begin(args)
  local function row(seed)
    local out = {}
    for i = 1, ${values} do out[i] = value(seed * 131 + i) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  local all = {}
  for i = 1, ${known} do all[i] = row(i) end
  head = '{"instances":[' .. table.concat(all, ",")
  tail = string.sub(row(0), #value(0) + 2)
end
function request()
  local all = { head }
  for i = 1, ${rows - known} do
    fresh = fresh + 1
    all[i + 1] = string.format("[0.1%015d", fresh) .. tail
  end
  return wrk.format("POST", nil, headers, table.concat(all, ",") .. "]}")
end`,
}

/** What a script ends with, so that `parseResult` can read what came of it. */
export const LUA_RESULT = `
function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('\\nRESULT {"requests":%d,"seconds":%.6f,"errors":%d,"p50Ms":%.4f,"p99Ms":%.4f}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end`

/** What the script's last line says. */
export function parseResult(output: string): Measured {
  const line = /^RESULT (\{.*\})$/m.exec(output)?.[1]
  if (line === undefined) throw new Error(`wrk gave no result:\n${output.slice(-2000)}`)
  return JSON.parse(line) as Measured
}

const execute = promisify(execFile)
let runs = 0

/** One run of wrk, on its own core. */
export async function load({ script, url, connections, seconds, cores, threads }: Load): Promise<Measured> {
  const pinned = ['-c', cores ?? String(LOAD_CORE), 'wrk']
  const shape = [`-t${threads ?? 1}`, `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script]
  const args = [...pinned, ...shape, url, '--', String(++runs)]
  const { stdout } = await execute(TASKSET, args, { timeout: (seconds + 30) * 1000 })
  return parseResult(stdout)
}
