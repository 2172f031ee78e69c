/**
 * A gateway under load whose shared tier loses a server right after a purge that the successor has not heard of. What
 * the tests hold with bounds for a busy machine is measured here, for the page.
 */
import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { SettingsInput } from '../../../src/config/schema.ts'
import { ask, isHit } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import { json } from '../../suite/exchanges.ts'
import type { Gateway } from '../../suite/gateway.ts'
import type { Session } from '../../suite/session.ts'

export type TierSettings = NonNullable<NonNullable<SettingsInput['cache']>['tiers']>[number]

/** What is to fail, with its servers running. */
export interface Failover {
  readonly group: string
  /** How the gateway is called, for its files. */
  readonly name: string
  readonly tier: TierSettings
  /** One answer is purged by its key, or all of the model. */
  readonly purges: 'key' | 'model'
  /** Ends a server; `purge` is to be called before its successor takes over. `key`: of the answer that is purged. */
  fail(key: string, purge: () => Promise<void>): Promise<unknown>
  /** Starts it again where it has no successor and others go on with their part of the answers; until then that is looked at. */
  restart?(): Promise<unknown>
}

const PATH = '/v1/models/sum:predict'
const KEYS = 200
const CALLERS = 8
/** The row whose answer is purged. */
const PURGED = 7
const READ_TIMEOUT_MS = 25
/** What two busy cores may add to the slowest call before the death. One that waited for a failover would wait for longer. */
const NOISE_MS = 400
const WARM_MS = 20_000
/** Calls before the death, to compare with. */
const USUAL_CALLS = 2_000
const BACK_MS = 60_000
/** Hits are back where so much of a second's calls are hits again, of what it was before. */
const BACK_SHARE = 0.9
const WINDOW_MS = 1_000
/** How often each row is asked before it counts as lost: on a busy machine the tier may be late for one call. */
const LOST_ROUNDS = 4

interface Told {
  readonly row: number
  readonly began: number
  readonly ms: number
  readonly status: number
  readonly isHit: boolean
  readonly generation: number
}

export const TIMES = { readTimeout: `${READ_TIMEOUT_MS}ms` }

/** With a gateway that has what is to fail as its only tier. */
export interface ReadyFailover extends Failover {
  readonly backend: Backend
  readonly gateway: Gateway
}

export async function startGateway(session: Session, failover: Failover): Promise<ReadyFailover> {
  const { name, tier } = failover
  const backend = await startBackend(session)
  const gateway = await session.gateway({
    name,
    upstream: backend.url,
    settings: {
      cache: { tiers: [tier] },
      pools: { main: { backends: [{ url: backend.url }] } },
      routes: [{ name: 'main', pool: 'main', cache: { rows: 'always' } }],
    },
  })
  return { ...failover, backend, gateway }
}

export async function tryFailover(session: Session, failover: ReadyFailover): Promise<void> {
  const { group, purges, fail, backend, gateway } = failover
  const load = startLoad(gateway)
  const { told } = load
  await reached(WARM_MS, () => told.length > KEYS && told.slice(-KEYS).every(({ isHit: hit }) => hit))
  const warm = told.length
  await reached(WARM_MS, () => told.length >= warm + USUAL_CALLS)
  let purgedAt = Number.POSITIVE_INFINITY
  // Not earlier: a gateway that could not read what others share when it started has made other keys until it could.
  const key = await keyOf(gateway, PURGED)
  await fail(key, async () => {
    backend.generation = 2
    await purge(gateway, purges === 'key' ? { key } : { model: 'sum' })
    purgedAt = performance.now()
  })
  const failedAt = performance.now()
  const lost = failover.restart && (await lostSince(told, failedAt))
  await failover.restart?.()
  await reached(BACK_MS, () => areHit(told, failedAt) && backAt(told, purgedAt) !== undefined).catch(() => {})
  await load.stop()
  // One that goes on has its share of the processors, which the next is to have.
  await gateway.kill()
  await report(session, group, { told: told.slice(warm), purgedAt })
  if (lost === undefined) return
  await session.check(group, `${lost} of ${KEYS} answers are lost, its part of them`, async () =>
    lost > 0 && lost < KEYS / 2 ? undefined : 'that is not the part of one server',
  )
}

/** How many rows are not found in the tier, however often they are asked. */
async function lostSince(told: readonly Told[], from: number): Promise<number> {
  const before = told.length
  await reached(BACK_MS, () => told.length > before + LOST_ROUNDS * KEYS)
  return KEYS - rowsHit(told, from).size
}

/** Rejects where it is not true in time. */
const reached = (timeoutMs: number, isTrue: () => boolean): Promise<void> =>
  eventually(
    () => {
      if (!isTrue()) throw new Error('the load did not get that far')
    },
    { timeoutMs },
  )

/** Whether each row has been found in the tier after `from`. */
const areHit = (told: readonly Told[], from: number): boolean => rowsHit(told, from).size === KEYS

/** The rows that were found in the tier since `from`. */
const rowsHit = (told: readonly Told[], from: number): ReadonlySet<number> =>
  new Set(told.filter(({ began, isHit: hit }) => hit && began > from).map(({ row }) => row))

async function report(
  session: Session,
  group: string,
  { told, purgedAt }: { told: readonly Told[]; purgedAt: number },
): Promise<void> {
  const failed = told.filter(({ status }) => status !== 200)
  await session.check(group, `none of ${told.length} calls fails`, async () =>
    failed.length === 0 ? undefined : `${failed.length} failed, the first with ${failed[0]?.status}`,
  )
  const [before, after] = [told.filter(isBefore(purgedAt)), told.filter((each) => !isBefore(purgedAt)(each))]
  const waits = `99 % of them within ${percentile(after, 0.99)} ms, all within ${percentile(after, 1)} ms`
  const usual = `before it: ${percentile(before, 0.99)} and ${percentile(before, 1)} ms; readTimeout ${READ_TIMEOUT_MS} ms`
  await session.check(group, `${waits} (${usual})`, async () =>
    percentile(after, 1) < percentile(before, 1) + READ_TIMEOUT_MS + NOISE_MS
      ? undefined
      : 'one waited for the tier',
  )
  const stale = told.filter(
    ({ row, began, generation }) => row === PURGED && began > purgedAt && generation < 2,
  )
  await session.check(group, 'nobody is given what was purged', async () =>
    stale.length === 0 ? undefined : `${stale.length} were`,
  )
  const back = backAt(told, purgedAt)
  const when = back === undefined ? '' : ` ${((back - purgedAt) / 1000).toFixed(1)} s after the death`
  await session.check(group, `nine tenths of the hits are back${when}`, async () =>
    back === undefined ? `not within ${BACK_MS / 1000} s` : undefined,
  )
}

const isBefore = (at: number) => (told: Told) => told.began + told.ms < at

function percentile(told: readonly Told[], share: number): number {
  const sorted = told.map(({ ms }) => ms).sort((a, b) => a - b)
  return Math.ceil(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0)
}

/** The end of the first second after `from` in which about as many were hits as of the calls right before it. */
function backAt(told: readonly Told[], from: number): number | undefined {
  const wanted = hitShare(told.filter(isBefore(from)).slice(-USUAL_CALLS)) * BACK_SHARE
  const after = told.filter(({ began }) => began >= from)
  const end = after.at(-1)?.began ?? from
  for (let at = from; at + WINDOW_MS <= end; at += WINDOW_MS / 10) {
    const window = after.filter(({ began }) => began >= at && began < at + WINDOW_MS)
    if (window.length > 0 && hitShare(window) >= wanted) return at + WINDOW_MS
  }
  return undefined
}

const hitShare = (told: readonly Told[]): number =>
  told.filter(({ isHit: hit }) => hit).length / Math.max(1, told.length)

/** A model server whose answers say in which generation they were made. */
interface Backend {
  readonly url: string
  generation: number
}

async function startBackend(session: Session): Promise<Backend> {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ predictions: [backend.generation] }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const backend = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, generation: 1 }
  session.owns({
    stop() {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  })
  return backend
}

const asking = (row: number) => ({ path: PATH, ...json({ instances: [row] }) })

async function tell({ url }: Gateway, row: number, agent?: Agent): Promise<Told> {
  const began = performance.now()
  const answer = await ask(url, asking(row), agent)
  const [generation = 0] =
    (JSON.parse(answer.body.toString()) as { predictions?: number[] }).predictions ?? []
  const ms = performance.now() - began
  return { row, began, ms, status: answer.status, isHit: isHit(answer), generation }
}

function startLoad(gateway: Gateway): { readonly told: readonly Told[]; stop(): Promise<void> } {
  const told: Told[] = []
  const over = new AbortController()
  // The connections are never idle, so none of them is closed just when it is used.
  const agent = new Agent({ keepAlive: true })
  const callers = Array.from({ length: CALLERS }, async (_, caller) => {
    for (let n = caller; !over.signal.aborted; n += CALLERS) told.push(await tell(gateway, n % KEYS, agent))
  })
  return {
    told,
    async stop() {
      over.abort()
      await Promise.all(callers)
      agent.destroy()
    },
  }
}

async function keyOf({ admin }: Gateway, row: number): Promise<string> {
  const { path, fields, body } = asking(row)
  const asked = { method: 'POST', path, headers: fields, body }
  const answer = await ask(admin, { path: '/api/v1/cache/explain', ...json(asked) })
  return (JSON.parse(answer.body.toString()) as { rows: { key: string }[] }).rows[0]?.key ?? ''
}

async function purge({ admin }: Gateway, selection: object): Promise<void> {
  const { status, body } = await ask(admin, { path: '/api/v1/cache/purge', ...json(selection) })
  if (status !== 200) throw new Error(`the purge failed: ${body.toString()}`)
}
