/**
 * One load: the shared tiers first, then one upstream request for the rows that nobody has. Every row of the
 * load lands: as an entry, or as what came instead of one.
 */
import type { Digest } from '../core/key.ts'
import type { Reply } from '../core/reply.ts'
import type { Clock } from '../lib/clock.ts'
import type { Row } from '../protocol/protocol.ts'
import { Incoming } from './backend/incoming.ts'
import type { Entry } from './cache/entry.ts'
import { judge } from './cache/freshness.ts'
import { keptHeaders, mayBeStale } from './cache/storable.ts'
import type { Found, Tiered } from './cache/tiered.ts'
import type { Claims } from './flight/claims.ts'
import type { Load } from './flight/flights.ts'
import type { Holding, Leases } from './flight/leases.ts'
import type { Matched, RouteCache } from './ingress/routes.ts'
import type { Job, Landing } from './job.ts'
import { answeredBy } from './key/answered-by.ts'
import type { Kept, Ship } from './ship.ts'
import type { Delivered } from './shipment.ts'

export interface FillParts {
  readonly cache: Tiered
  readonly ship: Ship
  /** Undefined: this route's gateways do not wait for each other. */
  readonly leases: (matched: Matched) => Leases | undefined
  /** Undefined: this process has one worker. */
  readonly claims?: Claims | undefined
  /** Whether an answer of this version may be kept under the present deployment. */
  readonly mayKeep: (matched: Matched, version: string | undefined) => boolean
  readonly clock: Clock
  readonly random: () => number
}

export type Fill = (job: Job, load: Load<Landing>) => Promise<void>

export function createFill(parts: FillParts): Fill {
  const { cache, clock, ship } = parts

  return async function fill(job, load) {
    const { claims } = parts
    if (!claims || job.wish.noCache) return fetch(job, load)
    // Other workers may be loading the same rows: one of them does, the others find it in the memory they share.
    await claims.load({
      digests: load.digests,
      signal: load.signal,
      deadline: job.call.deadline,
      found: (digest) => inMemory(job, load, digest),
      fetch: (digests, landed) =>
        fetch(job, {
          digests,
          signal: load.signal,
          land(digest, landing) {
            load.land(digest, landing)
            landed(digest)
          },
        }),
    })
  }

  function inMemory(job: Job, load: Load<Landing>, digest: Digest): boolean {
    const entry = cache.peek(digest)
    if (!entry || judge(entry, job.wish, clock.wall()) !== 'fresh') return false
    load.land(digest, { kind: 'entry', entry, tier: undefined, joined: true })
    return true
  }

  async function fetch(job: Job, load: Load<Landing>): Promise<void> {
    const rest = job.wish.noCache || job.isSought ? load.digests : await fromTiers(job, load)
    if (rest.length === 0) return
    const leases = job.seed.shared && !job.wish.noCache ? parts.leases(job.matched) : undefined
    if (!leases) return fromBackend(job, load, { digests: new Set(rest) })
    // Other gateways may be asking for the same rows: one of them fetches, the others wait for what it stores.
    await leases.load({
      digests: rest,
      signal: load.signal,
      deadline: job.call.deadline,
      found: (digest, value) => landed(job, load, digest, cache.read(digest, value)),
      fetch: (digests, holding) => fromBackend(job, load, { digests: new Set(digests), holding }),
    })
  }

  async function fromTiers(job: Job, load: Load<Landing>): Promise<readonly Digest[]> {
    if (!job.seed.shared) return load.digests
    const found = await cache.lookup(load.digests)
    return load.digests.filter((digest, i) => !landed(job, load, digest, found[i]))
  }

  function landed(job: Job, load: Load<Landing>, digest: Digest, found: Found | undefined): boolean {
    if (!found) return false
    const freshness = judge(found.entry, job.wish, clock.wall())
    if (freshness === 'fresh') {
      load.land(digest, { kind: 'entry', ...found })
      return true
    }
    if (freshness !== 'dead') job.sheet.fallBack(digest, found.entry)
    return false
  }

  async function fromBackend(job: Job, load: Load<Landing>, wanted: Wanted): Promise<void> {
    const { sheet, seed } = job
    const lines = sheet.lines.filter(({ row }) => wanted.digests.has(row.digest))
    const isWhole = job.rows === undefined || (sheet.plain && lines.length === sheet.lines.length)
    const shipped = await ship(job, { rows: lines.map(({ row }) => row), isWhole, signal: load.signal })
    const unkept = { load, digests: wanted.digests, scope: job.matched.route.cache?.scope }
    if ('unkept' in shipped) return landUnkept(unkept, shipped.unkept, !isWhole)
    // A version that nobody has told of yet: its key is still that of the one before.
    const versions = versionsOf(job.matched, shipped.kept)
    const foreign = [...versions].find(([, version]) => !parts.mayKeep(job.matched, version))
    // Of a batch it may hold the rows of others too: then it is nobody's answer.
    const isOwn = isWhole && job.matched.route.batch === undefined
    if (foreign) return landUnkept(unkept, foreign[0].reply, !isOwn)
    for (const [i, { row }] of lines.entries()) {
      const kept = shipped.kept[i] as Kept
      const entry = entryOf(job, row, { ...kept, version: versions.get(kept.delivered) })
      cache.store(entry, {
        ...wanted.holding?.storing(row.digest),
        ...(seed.shared ? {} : { memoryOnly: true }),
        began: job.began,
      })
      load.land(row.digest, { kind: 'entry', entry, tier: undefined })
    }
  }

  function entryOf({ matched }: Job, { digest }: Row, kept: Kept & { version: string | undefined }): Entry {
    const { answer, delivered, version = '' } = kept
    const { reply, ms } = delivered
    const cached = matched.route.cache as RouteCache
    const negative = reply.status !== 200
    const stale = !negative && mayBeStale(reply.headers) ? 1 : 0
    const common = {
      digest,
      status: reply.status,
      createdAt: clock.wall(),
      ttlMs: (negative ? cached.negativeTtl : cached.ttl) * (1 + cached.jitter * (2 * parts.random() - 1)),
      swrMs: cached.staleWhileRevalidate * stale,
      sieMs: cached.staleIfError * stale,
      version,
      tags: [],
      upstreamMs: ms,
      negative,
    }
    return answer
      ? { ...common, kind: 'row', headers: [], frame: answer.frame, body: answer.slice }
      : { ...common, kind: 'reply', headers: keptHeaders(reply.headers), body: reply.body as Uint8Array }
  }
}

/** The version behind each reply; read once, however many rows were cut from it. */
function versionsOf(
  { protocol, target }: Matched,
  kept: readonly Kept[],
): Map<Delivered, string | undefined> {
  const versions = new Map<Delivered, string | undefined>()
  for (const { delivered } of kept) {
    if (versions.has(delivered)) continue
    const { reply, backend } = delivered
    versions.set(delivered, answeredBy(target, backend, protocol.version?.(reply, reply.body as Uint8Array)))
  }
  return versions
}

interface Wanted {
  readonly digests: ReadonlySet<Digest>
  /** The leases under which they are fetched. */
  readonly holding?: Holding
}

/** How long an answer for one taker waits for it, while that caller waits for rows that others load. */
const TAKE_MS = 1000

/** What may be said of who asks and not of what is asked. */
const PERSONAL = new Set([401, 403, 407, 429])

interface Unkept {
  readonly load: Load<Landing>
  readonly digests: ReadonlySet<Digest>
  readonly scope: RouteCache['scope'] | undefined
}

function landUnkept({ load, digests, scope }: Unkept, reply: Reply, partial: boolean): void {
  // A refusal is the same for all who asked the same; anything else not to be kept is one caller's own.
  const sharable =
    reply.body instanceof Uint8Array && reply.status !== 200 && !/set-cookie/i.test(reply.headers.join('\n'))
  if (sharable) {
    const personal = scope === 'shared' && PERSONAL.has(reply.status)
    for (const digest of digests) load.land(digest, { kind: 'reply', reply, partial, personal })
    return
  }
  let left: Reply | undefined = reply
  const take = () => {
    const taken = left
    left = undefined
    return taken
  }
  for (const digest of digests) load.land(digest, { kind: 'single', take, partial })
  setTimeout(() => {
    const body = take()?.body
    if (body instanceof Incoming) void body.discard()
  }, TAKE_MS).unref()
}
