/**
 * One load: the shared tiers first, then one upstream request for the rows that nobody has. Every row of the
 * load lands: as an entry, or as what came instead of one.
 */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { after, type Coming } from '../../lib/later.ts'
import type { Row } from '../../protocol/protocol.ts'
import { letGo } from '../backend/incoming.ts'
import type { Entry } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { Found, Tiered } from '../cache/tiered.ts'
import { keptHeaders, rowHeaders, saidOf } from '../decision/storable.ts'
import type { Claims } from '../flight/claims.ts'
import type { Load } from '../flight/flights.ts'
import type { Holding, Leases } from '../flight/leases.ts'
import { callerTimeout } from '../http/deadlines.ts'
import { staleWindows } from '../http-cache/keep.ts'
import { type Life, lifeOf, NOTHING_SAID, type Said } from '../http-cache/said.ts'
import { answeredBy } from '../key/answered-by.ts'
import { type Forms, suits } from '../key/forms.ts'
import type { VersionRules } from '../key/statements.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import type { Job, Landing, RefusalOf } from '../rows/lookup-context.ts'
import type { Delivered } from '../upstream/upstream-call.ts'
import type { Kept, Order, Ship } from './fetch.ts'

export interface FillParts extends VersionRules {
  readonly cache: Tiered
  readonly ship: Ship
  /** Undefined: this route's gateways do not wait for each other. */
  readonly leases: (matched: Matched) => Leases | undefined
  /** Undefined: this process has one worker. */
  readonly claims?: Claims | undefined
  readonly forms: Pick<Forms, 'learn'>
  readonly refusalOf: RefusalOf
  readonly clock: Clock
  readonly random: () => number
}

export type Fill = (job: Job, load: Load<Landing>) => Coming<void>

export function createFill(parts: FillParts): Fill {
  const { cache, clock, ship } = parts

  return function fill(job, load) {
    const { claims } = parts
    if (!claims || job.wish.noCache) return fetch(job, load)
    // Other workers may be loading the same rows: one of them does, the others find it in the memory they share.
    return claims.load({
      digests: load.digests,
      signal: load.signal,
      get deadline() {
        return load.deadline
      },
      found: (digest) => inMemory(job, load, digest),
      fetch: async (digests, landed) => fetch(job, new Part(load, digests, landed)),
    })
  }

  function inMemory(job: Job, load: Load<Landing>, digest: Digest): boolean {
    const entry = cache.peek(digest)
    if (!entry || !suits(entry, job) || !parts.mayGive(job.matched, entry)) return false
    if (judge(entry, job.wish, clock.wall()) !== 'fresh') return false
    load.land(digest, { kind: 'entry', entry, tier: undefined, joined: true })
    return true
  }

  function fetch(job: Job, load: Load<Landing>): Coming<void> {
    const isAsked = job.seed.shared && cache.hasShared && !job.wish.noCache && !job.isSought
    if (!isAsked) return fromOthers(job, load, load.digests)
    return after(cache.lookup(load.digests), (found) => {
      const rest = load.digests.filter((digest, i) => !landed(job, load, digest, found[i]))
      return rest.length > 0 ? fromOthers(job, load, rest) : undefined
    })
  }

  /** What no tier has. */
  function fromOthers(job: Job, load: Load<Landing>, rest: readonly Digest[]): Coming<void> {
    const leases = job.seed.writable && !job.wish.noCache ? parts.leases(job.matched) : undefined
    if (!leases) return fromBackend(job, load, rest)
    // Other gateways may be asking for the same rows: one of them fetches, the others wait for what it stores.
    return leases.load({
      digests: rest,
      signal: load.signal,
      get deadline() {
        return load.deadline
      },
      found: (digest, value) => landed(job, load, digest, cache.read(digest, value)),
      fetch: async (digests, holding) => fromBackend(job, load, digests, holding),
    })
  }

  function landed(job: Job, load: Load<Landing>, digest: Digest, found: Found | undefined): boolean {
    // What another gateway keeps of a version that is not known here is not our backends' answer.
    if (!found || !suits(found.entry, job) || !parts.mayGive(job.matched, found.entry)) return false
    const freshness = judge(found.entry, job.wish, clock.wall())
    if (freshness === 'fresh') {
      load.land(digest, { kind: 'entry', ...found })
      return true
    }
    if (freshness !== 'dead') job.sheet.fallBack(digest, found.entry)
    return false
  }

  function fromBackend(
    job: Job,
    load: Load<Landing>,
    digests: readonly Digest[],
    holding?: Holding,
  ): Coming<void> {
    const { sheet } = job
    const isAll = digests.length === sheet.lines.length
    const rows = isAll ? sheet.rows : sheet.rowsOf(digests)
    const isWhole = job.rows === undefined || (sheet.plain && isAll)
    const order = { rows, isWhole, signal: load.signal, until: load }
    return after(ship(job, order), (arrived) => {
      if ('unkept' in arrived)
        landUnkept(parts, job, { load, digests, reply: arrived.unkept, partial: !isWhole })
      else keep(job, { load, digests, holding, order, own: arrived.own }, arrived.kept)
    })
  }

  /** Stores and lands what may be kept, a row at a time: memory has it before its flight ends. */
  function keep(job: Job, { load, digests, holding, order, own }: Fetched, all: readonly Kept[]): void {
    const versions = versionsOf(parts, job.matched, all)
    for (let i = 0; i < all.length; i++) {
      if (parts.mayKeep(job.matched, versions[i])) continue
      // A version that nobody has told of yet: its key is still that of the one before. Of a batch the answer may hold
      // the rows of others too: then it is nobody's.
      const isOwn = order.isWhole && job.matched.route.batch === undefined
      const { reply } = (all[i] as Kept).delivered
      return landUnkept(parts, job, { load, digests, reply, partial: !isOwn })
    }
    const { seed } = job
    // Under what others have said of theirs nothing of our backends' is kept, as nobody has said yet that it is the same.
    const isLent = seed.shared && !seed.writable
    // Of whole calls only.
    const [first] = all as [Kept]
    const { reply } = first.delivered
    if (reply.status !== 200) {
      if (!isLent) return refuse(job, { load, digests }, first, versions[0])
      return landUnkept(parts, job, { load, digests, reply, partial: false })
    }
    // A call in a form that the server had not been seen to take.
    if (!job.isShown) parts.forms.learn(job.matched, job.plan, reply)
    const plain = { memoryOnly: !seed.writable, began: job.began }
    for (let i = 0; i < order.rows.length; i++) {
      const { digest } = order.rows[i] as Row
      const entry = entryOf(job, digest, all[i] as Kept, versions[i])
      const isKept = !isLent && cache.store(entry, holding ? { ...plain, ...holding.storing(digest) } : plain)
      load.land(digest, { kind: 'entry', entry, tier: undefined, lost: !isKept, own })
    }
  }

  /** A refusal is kept in memory, beside the key: that is of calls which a backend may take. */
  function refuse(job: Job, { load, digests }: Landed, kept: Kept, version: string | undefined): void {
    const key = parts.refusalOf(job)
    const entry = key && entryOf(job, key, kept, version)
    if (entry) cache.store(entry, { memoryOnly: true, began: job.began })
    if (!entry || !cache.peek(entry.digest))
      return landUnkept(parts, job, { load, digests, reply: kept.delivered.reply, partial: false })
    for (const digest of digests) load.land(digest, { kind: 'entry', entry, tier: undefined })
  }

  function entryOf(
    { matched, form }: Job,
    digest: Digest,
    { answer, delivered, form: ownForm }: Kept,
    version: string | undefined,
  ): Entry {
    const { reply, ms } = delivered
    const cached = matched.route.cache as RouteCache
    const negative = reply.status !== 200
    const ttl = (negative ? cached.negativeTtl : cached.ttl) * (1 + cached.jitter * (2 * parts.random() - 1))
    const said = cached.heedBackend ? saidOf(reply) : NOTHING_SAID
    const at = clock.wall()
    // Most say nothing.
    const life: Life =
      said === NOTHING_SAID ? { createdAt: at, ttlMs: ttl } : lifeOf(said, { at, delayMs: ms }, ttl)
    const windows = negative ? NO_WINDOWS : windowsOf(said, cached)
    return {
      digest,
      kind: answer ? 'row' : 'reply',
      status: reply.status,
      headers: answer ? rowHeaders(reply) : keptHeaders(reply),
      body: answer ? answer.slice : (reply.body as Uint8Array),
      frame: answer?.frame,
      createdAt: life.createdAt,
      ttlMs: life.ttlMs,
      swrMs: windows.swrMs,
      sieMs: windows.sieMs,
      version: version ?? '',
      tags: NO_TAGS,
      upstreamMs: ms,
      negative,
      form: ownForm ?? form,
    }
  }
}

const NO_WINDOWS = { swrMs: 0, sieMs: 0 }

/** The route's windows are the longest. */
function windowsOf(said: Said, cached: RouteCache): { readonly swrMs: number; readonly sieMs: number } {
  const { staleWhileRevalidate, staleIfError } = cached
  if (staleWhileRevalidate === 0 && staleIfError === 0) return NO_WINDOWS
  const { swrMs, sieMs } = staleWindows(said, cached)
  return { swrMs: Math.min(swrMs, staleWhileRevalidate), sieMs: Math.min(sieMs, staleIfError) }
}

/** Some rows of a load, whose landing others wait for as well. */
class Part implements Load<Landing> {
  readonly digests: readonly Digest[]
  readonly #load: Load<Landing>
  readonly #landed: (digest: Digest) => void

  constructor(load: Load<Landing>, digests: readonly Digest[], landed: (digest: Digest) => void) {
    this.#load = load
    this.digests = digests
    this.#landed = landed
  }

  get signal(): Load<Landing>['signal'] {
    return this.#load.signal
  }

  get deadline(): number {
    return this.#load.deadline
  }

  get isJoined(): boolean {
    return this.#load.isJoined === true
  }

  land(digest: Digest, landing: Landing): void {
    this.#load.land(digest, landing)
    this.#landed(digest)
  }
}

const NO_TAGS: Entry['tags'] = []

/** The version behind each answer; read once a reply, however many rows were cut from it. */
function versionsOf(
  { stated }: Pick<VersionRules, 'stated'>,
  matched: Matched,
  kept: readonly Kept[],
): readonly (string | undefined)[] {
  const { protocol, target } = matched
  const versions: (string | undefined)[] = []
  let last: Delivered | undefined
  let version: string | undefined
  for (const { delivered } of kept) {
    if (delivered !== last) {
      const { reply, backend } = delivered
      const said = protocol.version?.(reply, reply.body as Uint8Array)
      if (said !== undefined) stated(matched, backend, said)
      version = answeredBy(target, backend, said)
      last = delivered
    }
    versions.push(version)
  }
  return versions
}

/** What was asked for. */
interface Landed {
  readonly load: Load<Landing>
  readonly digests: readonly Digest[]
}

/** What was asked of a backend. */
interface Fetched extends Landed {
  /** The leases under which they were fetched. */
  readonly holding: Holding | undefined
  readonly order: Order
  readonly own: Reply | undefined
}

/** How long an answer for one taker waits for it, while that caller waits for rows that others load. */
const TAKE_MS = 1000

/** What may be said of who asks and not of what is asked. */
const PERSONAL = new Set([401, 403, 407, 429])
/** What a backend says that was told of a deadline, and could not meet it. */
const LATE = new Set([408, 504])

/** What says that the backend is in trouble, and nothing of the call. */
const OF_NO_CALL = new Set([429, 502, 503, 504])

interface Unkept extends Landed {
  readonly reply: Reply
  readonly partial: boolean
}

function landUnkept(
  { refusalOf }: Pick<FillParts, 'refusalOf'>,
  job: Job,
  { load, digests, reply, partial }: Unkept,
): void {
  // A refusal is the same for all who asked in the same way; anything else not to be kept is one caller's own.
  const sharable =
    reply.body instanceof Uint8Array && reply.status !== 200 && !/set-cookie/i.test(reply.headers.join('\n'))
  if (sharable) {
    const isForCaller = job.matched.route.cache?.scope === 'shared' && PERSONAL.has(reply.status)
    const isForTime = LATE.has(reply.status) && callerTimeout(job.call.headers) !== undefined
    const personal = isForCaller || isForTime
    const said = OF_NO_CALL.has(reply.status) ? 'to all' : refusalOf(job)
    for (const digest of digests) load.land(digest, { kind: 'reply', reply, partial, personal, said })
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
    letGo(take()?.body)
  }, TAKE_MS).unref()
}
