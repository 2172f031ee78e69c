/** One scenario: its servers are started, and its sides take turns. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { LOAD_CORE, stopAll, TASKSET } from '../lib/process.ts'
import { load } from '../lib/wrk.ts'
import { openPrefix } from './prefix.ts'
import { scriptFor } from './requests.ts'
import type { Figures, Scenario, ServerName, Side } from './scenarios.ts'
import { type Backend, instant, type Server, scripted } from './servers.ts'
import { started, type Terms, type Turn } from './sides.ts'

export interface Measured {
  readonly side: Side
  /** A round each. */
  readonly rounds: readonly Figures[]
}

/** Measures the sides, in turns there and back again. */
export async function measure(scenario: Scenario, sides: readonly Side[], terms: Terms): Promise<Measured[]> {
  try {
    const turns = await opened(scenario, sides, terms)
    const seconds = terms.seconds * (scenario.times ?? 1)
    for (const turn of turns) await turn(2 * seconds, true)
    const measured = sides.map((side) => ({ side, rounds: [] as Figures[] }))
    for (let round = 0; round < terms.rounds; round++)
      for (const i of order(sides.length, round)) measured[i]?.rounds.push(await (turns[i] as Turn)(seconds))
    for (const one of measured) check(scenario, one)
    return measured
  } finally {
    await stopAll()
  }
}

/** A hit that reaches the backend, or a miss that does not, is none; no call of the gateway's fails. */
function check({ upstream: [low, high] = ANY, connections = 0 }: Scenario, { side, rounds }: Measured): void {
  if (side.server !== 'infergate' && side.server !== 'before') return
  for (const { errors = 0, requests = 0, upstream = Number.NaN } of rounds) {
    if (errors > 0) throw new Error(`${side.name}: ${errors} errors`)
    // Calls on their way when a round begins or ends are asked for in another than they are counted in.
    const slack = connections / requests
    if (upstream < low - slack || upstream > high + slack)
      throw new Error(`${side.name} is not what it claims to be: ${upstream} backend requests a request`)
  }
}

const ANY = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const

function order(count: number, round: number): number[] {
  const forth = Array.from({ length: count }, (_, i) => i)
  return round % 2 === 0 ? forth : forth.toReversed()
}

async function opened(scenario: Scenario, sides: readonly Side[], terms: Terms): Promise<Turn[]> {
  if (scenario.kind === 'prefix') return Promise.all(sides.map((side) => openPrefix(side, terms)))
  const { backend: script } = scenario
  const backend = script === 'instant' ? await instant(terms.folder) : await scripted(script)
  const servers = new Map<ServerName, Server>()
  for (const { server } of sides)
    if (!servers.has(server)) servers.set(server, await started(server, [backend.port], terms))
  return sides.map((side) => {
    const server = servers.get(side.server) as Server
    const turn =
      scenario.kind === 'load' ? loadTurn(scenario, side, { server, terms }) : streamTurn(side, server)
    return (seconds, isWarmUp) => accounted(turn, { server, backend, seconds, isWarmUp })
  })
}

interface Account {
  readonly server: Server
  readonly backend: Backend
  readonly seconds: number
  readonly isWarmUp: boolean | undefined
}

/** The figures of a turn, with the processor time that the server took, and backend requests a request. */
async function accounted(turn: Turn, { server, backend, seconds, isWarmUp }: Account): Promise<Figures> {
  const [cpu, asked] = [server.process?.cpuMicros() ?? 0, await backend.asked()]
  const figures = await turn(seconds, isWarmUp)
  const used = (server.process?.cpuMicros() ?? 0) - cpu
  const { requests = Number.NaN } = figures
  const upstream = ((await backend.asked()) - asked) / requests
  return { ...figures, cpuMicros: used / requests, busy: used / 1e6 / seconds, upstream }
}

function loadTurn(
  { name, sent: common, connections = 64 }: Scenario,
  side: Side,
  { server, terms }: { server: Server; terms: Terms },
): Turn {
  const sent = side.sent ?? common ?? []
  const script = scriptFor(terms.folder, `${name} ${side.name}`.replaceAll(/\W+/g, '-'), sent)
  const url = `http://127.0.0.1:${server.port}${sent[0]?.path ?? ''}`
  return async (seconds) => {
    const {
      requests,
      seconds: took,
      errors,
      p50Ms,
      p99Ms,
    } = await load({ script, url, connections, seconds })
    return { requests, errors, perSecond: requests / took, p50Ms, p99Ms }
  }
}

const run = promisify(execFile)

function streamTurn({ temperature = 0 }: Side, { port }: Server): Turn {
  const program = join(import.meta.dirname, 'streams.ts')
  return async (seconds, isWarmUp) => {
    const args = [program, ...[port, seconds, temperature].map(String), ...(isWarmUp ? ['at-once'] : [])]
    const { stdout } = await run(TASKSET, ['-c', String(LOAD_CORE), process.execPath, ...args])
    const { streams, ...times } = JSON.parse(stdout) as Record<string, number>
    return { requests: streams ?? 0, ...times }
  }
}
