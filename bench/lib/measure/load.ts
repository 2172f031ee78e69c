/** wrk on a server: requests a second, what they take of a processor, how long they last, and whether they are what they claim to be. */
import { availableParallelism } from 'node:os'
import { type Backend, instant, slow } from '../backends.ts'
import type { Place } from '../place.ts'
import { LOAD_CORE, SERVER_CORE } from '../process.ts'
import { othersMicros } from '../procfs.ts'
import type { Measure, Round, Scenario, Side } from '../scenario.ts'
import { type Server, startServer } from '../servers.ts'
import type { Measurement, Opened, Terms } from '../subject.ts'
import { type Bodies, type Load, load, loadScript } from '../wrk.ts'

export type LoadMeasure = Extract<Measure, { kind: 'load' }>

export async function openLoad(scenario: Scenario, measure: LoadMeasure, terms: Terms): Promise<Opened> {
  const backend = await (measure.msPerRow === undefined ? instant(terms.folder) : slow(measure.msPerRow))
  let opened = 0
  return async (side) => {
    const bodies = side.bodies ?? measure.bodies
    // A folder a side: two sides may be the same server.
    const folder = `${terms.folder}/${scenario.name}-${++opened}`
    const server = await startServer(side.server, placeFor(measure, { folder, backendPort: backend.port }))
    const script = loadScript(terms.folder, `${scenario.name}-${opened}`, bodies)
    const run = { ...loadFor(measure), script, url: server.url }
    const expected = side.server === 'direct' ? undefined : measure.upstream
    const one = (seconds: number) => measureOnce({ ...run, seconds }, { server, backend, bodies, expected })
    return {
      warm: () => warm(one, warmSeconds(side, terms.quick), 'distinct' in bodies ? bodies.distinct : 0),
      round: () => one(terms.seconds),
    }
  }
}

export function placeFor(
  { bodies, shared }: LoadMeasure,
  where: Pick<Place, 'folder' | 'backendPort'>,
): Omit<Place, 'port'> {
  const isBatch = bodies.kind === 'batch'
  return {
    ...where,
    cores: shared ? allCores() : String(SERVER_CORE),
    bodyBytes: isBatch ? 100_000 : bodies.bytes,
    cacheMiB: 512,
    rows: isBatch ? 'always' : 'auto',
    nodeArgs: [],
  }
}

export function loadFor({ connections, shared }: LoadMeasure): Omit<Load, 'script' | 'url' | 'seconds'> {
  return shared
    ? { connections, cores: allCores(), threads: 2 }
    : { connections, cores: String(LOAD_CORE), threads: 1 }
}

const allCores = (): string => `0-${availableParallelism() - 1}`

const MAX_WARM_SECONDS = 10

/** What runs on Node must be compiled first; the others only fill their caches. */
export function warmSeconds({ server }: Side, quick: boolean): number {
  if (!server.startsWith('infergate')) return 1
  return quick ? 2 : 3
}

/** Until it does what it is to do, over all there is to know: a slow server fills its cache slowly. */
async function warm(
  one: (seconds: number) => Promise<Measurement>,
  least: number,
  distinct: number,
): Promise<void> {
  let seconds = least
  for (let attempt = 0; attempt < 4; attempt++) {
    const { fault, round } = await one(seconds)
    const { perSecond = 0 } = round
    if (fault === undefined && perSecond * seconds >= distinct) return
    seconds = Math.min(
      MAX_WARM_SECONDS,
      Math.max(least, Math.ceil((distinct * 1.2) / Math.max(1, perSecond))),
    )
  }
}

interface Watched {
  readonly server: Server
  readonly backend: Backend
  readonly bodies: Bodies
  readonly expected: readonly [number, number] | undefined
}

/** Counters before and after a run: processor time of the server, of everybody else, requests at the backend. */
async function measureOnce(run: Load, { server, backend, bodies, expected }: Watched): Promise<Measurement> {
  const [pinned] = server.processes
  const look = async () => ({
    cpu: pinned?.cpuMicros() ?? 0,
    others: othersMicros(process.pid),
    upstream: (await backend.counts()).requests,
    at: performance.now(),
  })
  const before = await look()
  const { requests, seconds, errors, p50Ms, p99Ms } = await load(run)
  const after = await look()
  const failure = pinned?.failure()
  if (failure !== undefined) throw new Error(failure)
  const each = 1 / Math.max(1, requests)
  const cpu = after.cpu - before.cpu
  const round: Round = {
    perSecond: requests / seconds,
    ...(bodies.kind === 'batch' ? { rowsPerSecond: (requests / seconds) * bodies.rows } : {}),
    p50Ms,
    p99Ms,
    ...(pinned ? { cpuMicros: cpu * each, busy: cpu / seconds / 1e6 } : {}),
    upstream: (after.upstream - before.upstream) * each,
    others: Math.max(0, after.others - before.others) / (after.at - before.at) / 1e3 / availableParallelism(),
    errors,
  }
  const fault = faultOf(round, { expected, unfinished: run.connections * each })
  return fault === undefined ? { round } : { round, fault }
}

interface Expected {
  /** Backend requests a request. */
  readonly expected: readonly [low: number, high: number] | undefined
  /** Share of requests that were under way at the end: the backend saw them, the load did not count them. */
  readonly unfinished: number
}

/** Errors are fast, and so is what was to be a miss and is a hit. */
export function faultOf(round: Round, { expected, unfinished }: Expected): string | undefined {
  const { perSecond = 0, errors = 0, upstream = 0 } = round
  if (errors > 0) return `${errors} errors`
  if (perSecond === 0) return 'no request was answered'
  if (expected && !(upstream >= expected[0] && upstream <= expected[1] + unfinished))
    return `${upstream.toFixed(3)} backend requests a request, where ${expected.join(' to ')} are expected`
  return undefined
}
