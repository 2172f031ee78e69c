/**
 * The load: wrk with a Lua script, because a load generator on Node is slower than the servers it would measure.
 * The bodies of a scenario are data; the script that sends them is written here.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { LOAD_CORE, TASKSET } from './process.ts'

/** Requests as a scenario describes them. */
export type Bodies =
  /** `{"instances": [[floats]]}` of about so many bytes. */
  | { readonly kind: 'cycle'; readonly bytes: number; readonly distinct: number }
  /** The same, and no two are equal. */
  | { readonly kind: 'unique'; readonly bytes: number }
  /** Batches of rows (floats throughout: a batch that mixes in integers is another tensor), of which all but `rows - known` come again and again. */
  | { readonly kind: 'batch'; readonly rows: number; readonly known: number; readonly values: number }

export interface Measured {
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly requests: number
  /** Broken connections, time-outs, and answers that are not 2xx. */
  readonly errors: number
}

export interface Load {
  readonly script: string
  readonly url: string
  readonly connections: number
  readonly seconds: number
}

/** Writes the script for wrk and gives its path. Bodies differ from run to run only where they must be unique. */
export function loadScript(folder: string, name: string, bodies: Bodies): string {
  const file = join(folder, `${name}.lua`)
  writeFileSync(file, `${COMMON}\n${BODIES[bodies.kind](bodies as never)}\n${DONE}`)
  return file
}

const COMMON = `
local headers = { ["Content-Type"] = "application/json", ["Host"] = "bench" }
local function number(seed) return string.format("%.6f", (seed * 7919 % 1000003) / 1000003) end
local function values(seed, bytes)
  local out, size, i = {}, 0, 0
  while size < bytes do
    local value = number(seed * 131 + i)
    out[#out + 1] = value
    size = size + #value + 1
    i = i + 1
  end
  return table.concat(out, ",")
end
`

// Built once: making a body for each request would measure Lua. What is unique differs in its first number.
const BODIES = {
  cycle: ({ bytes, distinct }: Extract<Bodies, { kind: 'cycle' }>) => `
local requests, at = {}, 0
init = function()
  for i = 1, ${distinct} do
    requests[i] = wrk.format("POST", nil, headers, '{"instances":[[' .. values(i, ${bytes - 19}) .. ']]}')
  end
end
request = function() at = at % ${distinct} + 1; return requests[at] end`,
  unique: ({ bytes }: Extract<Bodies, { kind: 'unique' }>) => `
local head, tail, at
init = function()
  math.randomseed(os.time())
  at = math.random(1, 99999) * 10000000
  local rest = values(1, ${bytes - 19 - 19})
  local text = wrk.format("POST", nil, headers, '{"instances":[[@@@@@@@@@@@@@@@@@@,' .. rest .. ']]}')
  local from, to = string.find(text, "@+")
  head, tail = string.sub(text, 1, from - 1), string.sub(text, to + 1)
end
request = function() at = at + 1; return head .. string.format("0.1%015d", at) .. tail end`,
  batch: ({ rows, known, values }: Extract<Bodies, { kind: 'batch' }>) => `
local known, fresh = {}, 0
local function row(seed, count)
  local out = {}
  for i = 1, count do out[i] = number(seed * 131 + i) end
  return table.concat(out, ",")
end
local tail = row(1, ${values - 1})
init = function()
  math.randomseed(os.time())
  fresh = math.random(1, 99999) * 10000000
  for i = 1, ${known} do known[i] = "[" .. row(i, ${values}) .. "]" end
end
request = function()
  local all = {}
  for i = 1, ${known} do all[i] = known[i] end
  for i = ${known} + 1, ${rows} do
    fresh = fresh + 1
    all[i] = string.format("[0.1%015d,", fresh) .. tail .. "]"
  end
  return wrk.format("POST", nil, headers, '{"instances":[' .. table.concat(all, ",") .. ']}')
end`,
}

const DONE = `
done = function(summary, latency, _)
  local errors = summary.errors
  io.write(string.format('\\nRESULT {"requests":%d,"seconds":%.6f,"errors":%d,"p50Ms":%.4f,"p99Ms":%.4f}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end`

const run = promisify(execFile)

/** One run of wrk, on its own core. */
export async function load({ script, url, connections, seconds }: Load): Promise<Measured> {
  const args = [
    '-c',
    String(LOAD_CORE),
    'wrk',
    '-t1',
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '10s',
    '-s',
    script,
    url,
  ]
  const { stdout } = await run(TASKSET, args, { timeout: (seconds + 30) * 1000 })
  const line = /^RESULT (.*)$/m.exec(stdout)?.[1]
  if (line === undefined) throw new Error(`wrk gave no result:\n${stdout}`)
  const result = JSON.parse(line) as {
    requests: number
    seconds: number
    errors: number
    p50Ms: number
    p99Ms: number
  }
  const { requests, errors, p50Ms, p99Ms } = result
  return { requestsPerSecond: requests / result.seconds, requests, errors, p50Ms, p99Ms }
}
