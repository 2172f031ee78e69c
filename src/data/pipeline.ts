/**
 * The life of one call, cache side. Read this file first.
 *
 *   may it be cached? → raw bytes known, here or in a tier? → read into rows → memory
 *                        → flights ─┬─ joined: wait
 *                                   └─ ours: tiers → dispatch → store
 *   → assemble → answer
 *
 * A call is a list of rows; a dialect that cannot be split yields one, the whole call. Each row is looked up,
 * joined or loaded on its own, and the answer is put together from its rows. See
 * docs/architecture/life-of-a-call.md.
 */
import { type Call, isWhole } from '../core/call.ts'
import { Chunks } from '../core/chunks.ts'
import type { Digest } from '../core/key.ts'
import type { Answer } from '../core/reply.ts'
import type { Clock } from '../lib/clock.ts'
import { after, all, type Coming, isComing } from '../lib/later.ts'
import { inTurns } from '../lib/turns.ts'
import type { Plan, Reading } from '../protocol/protocol.ts'
import { letGo } from './backend/incoming.ts'
import type { Aliases } from './cache/aliases.ts'
import type { Directives } from './cache/directives.ts'
import { judge } from './cache/freshness.ts'
import type { ReadyAnswers } from './cache/ready.ts'
import type { RefreshBudget } from './cache/refresh-budget.ts'
import type { Tiered } from './cache/tiered.ts'
import type { Compose } from './compose.ts'
import type { Fill } from './fill.ts'
import type { Claims } from './flight/claims.ts'
import type { Flight, Flights } from './flight/flights.ts'
import type { Markers } from './flight/markers.ts'
import type { Forward } from './forward.ts'
import type { HeadNotes } from './ingress/intake.ts'
import type { Matched } from './ingress/routes.ts'
import type { Asked, Job, Landing } from './job.ts'
import { rawDigest, rawDigestSteps } from './key/raw.ts'
import { type Line, Sheet } from './rows/sheet.ts'
import type { Splitting } from './rows/splitting.ts'
import type { Standing, Standings } from './standing.ts'
import { isAnothers, landedNowhere, replyFor, type Trouble } from './trouble.ts'

export interface Stages {
  readonly standings: Standings
  readonly cache: Tiered
  /** The name of process memory in the settings. */
  readonly memory: string
  readonly ready: ReadyAnswers
  /** Undefined: there is no shared tier. */
  readonly aliases: Aliases | undefined
  readonly flights: Flights<Landing>
  readonly markers: Markers
  readonly refreshes: RefreshBudget
  readonly splitting: Splitting
  /** Undefined: this process has one worker. */
  readonly claims?: Pick<Claims, 'alone'> | undefined
  readonly fill: Fill
  readonly compose: Compose
  readonly forward: Forward
  readonly clock: Clock
}

/**
 * A promise only where there is something to wait for; what goes wrong is thrown or rejected. `notes`: on the call's head;
 * `asked`: the tiers were, before this was a call.
 */
export type Pipeline = (
  call: Call,
  matched: Matched,
  notes?: HeadNotes,
  asked?: Asked,
) => Answer | Coming<Answer>

/** A call of which the head is known. */
type Opening = Pick<Job, 'call' | 'matched' | 'began'> & { readonly asked: Asked | undefined }

/** A call whose key is known as far as its bytes tell it. */
type Known = Omit<Job, 'plan' | 'rows' | 'sheet' | 'isSought'> & Opening

export function createPipeline(stages: Stages): Pipeline {
  const { standings, cache, memory, ready, aliases, splitting, compose, forward, clock } = stages
  const { shared, alone, looked } = createWays(stages)

  return function answer(call, matched, notes, asked) {
    const opening = { call, matched, began: cache.mark(), asked }
    const standing = standings.of(call, matched, notes)
    return standing instanceof Promise
      ? after(standing, (known) => heard(opening, known))
      : heard(opening, standing)
  }

  /** `no-cache` beyond a caller's budget is not heeded: the call then stands as if it had not been said. */
  function heard(opening: Opening, standing: Standing): Answer | Coming<Answer> {
    const { call, matched } = opening
    const { wish } = standing
    const caller = call.principal === '' ? call.peer : call.principal
    if (stages.refreshes.allows(caller, wish.noCache)) return keyed(opening, standing)
    const own = standings.wishing(call, matched, { ...wish, noCache: false, ignored: 'no-cache' })
    return own instanceof Promise ? after(own, (known) => keyed(opening, known)) : keyed(opening, own)
  }

  function keyed({ call, matched, began, asked }: Opening, standing: Standing): Answer | Coming<Answer> {
    // 1. What the route, the caller or the call itself keeps out of the cache goes straight through.
    const { wish, reason, key } = standing
    const { body } = call
    if (!key) return forward(call, matched, reason ?? 'not enabled')
    if (!isWhole(body)) return forward(call, matched, 'streamed')
    const found = { call, matched, wish, body, seed: key.seed, began, asked }
    if (!(body instanceof Chunks)) return digested({ ...found, raw: rawDigest(key.prefix, body) })
    const digesting = inTurns(rawDigestSteps(key.prefix, body), call.signal)
    return after(digesting, (raw) => digested({ ...found, raw }))
  }

  function digested(found: Known): Answer | Coming<Answer> {
    // 2. A byte-identical repeat is answered without a look into the body.
    const { matched, wish, body, seed, raw } = found
    const known = wish.noCache ? undefined : ready.get(raw)
    if (known && judge(known, wish, clock.wall()) === 'fresh')
      return { reply: known.reply, outcome: compose.hitOutcome([known], memory, wish) }

    // 3. One whose answer only a shared tier may have is looked for there before it is read.
    if (found.asked) return read(found, found.asked)
    const isOther = wish.noTransform || splitting.splits(matched) || body instanceof Chunks
    const isAliased = seed.shared && !wish.noCache && !isOther
    const whole = isAliased ? aliases?.get(raw) : undefined
    return whole === undefined || cache.peek(whole) ? read(found) : sought(found, whole)
  }

  /** The shared tiers' answer to bytes that were read before; what they do not have is read again. */
  async function sought(found: Known, whole: Digest): Promise<Answer> {
    const { call, matched, wish } = found
    const [kept] = await cache.lookup([whole])
    const freshness = kept ? judge(kept.entry, wish, clock.wall()) : 'dead'
    if (!kept || freshness !== 'fresh')
      return read(found, { fallback: freshness === 'dead' ? undefined : kept?.entry })
    const { status, headers, body } = kept.entry
    const reply = matched.protocol.address({ status, headers, body }, call)
    if (!reply) return read(found, { fallback: undefined })
    if (!wish.noStore && cache.mark() === found.began) ready.set(found.raw, reply, [kept.entry])
    return { reply, outcome: compose.hitOutcome([kept.entry], kept.tier, wish) }
  }

  function read(found: Known, asked?: Asked): Answer | Coming<Answer> {
    // 4. The body is read into rows.
    const { call, matched, body, seed } = found
    const split = splitting.reads(matched)
    const options = { seed: seed.digest, split, onlyBatches: split && !splitting.splits(matched) }
    if (!(body instanceof Chunks)) return planned(found, matched.protocol.read(call, body, options), asked)
    const reading = inTurns(matched.protocol.readChunks(call, body, options), call.signal)
    return after(reading, (known) => planned(found, known, asked))
  }

  function planned(found: Known, reading: Reading, asked: Asked | undefined): Answer | Coming<Answer> {
    const { call, matched, wish, raw } = found
    if ('bypass' in reading) return forward(call, matched, reading.bypass)
    const plan = wish.noTransform ? asItCame(reading, raw) : reading
    const rows = plan.rows && splitting.splits(matched) ? plan.rows : undefined
    const sheet = new Sheet(rows ?? [{ digest: plan.whole, wire: NOTHING }])
    const job: Job = { ...found, plan, rows, sheet, isSought: asked !== undefined }
    if (asked?.fallback) sheet.fallBack(plan.whole, asked.fallback)

    // 5. Some callers do not share: they neither join nor lead.
    if (wish.noCache) return alone(job)
    if (wish.noStore || wish.onlyIfCached) return looked(job)
    return shared(job)
  }
}

/** The ways of a call that was read: with the others who ask the same, alone, or only looking. */
function createWays({
  cache,
  memory,
  ready,
  aliases,
  flights,
  markers,
  claims,
  fill,
  compose,
  forward,
  clock,
}: Stages) {
  return { shared, alone, looked }

  /** The ordinary way: memory, then flights for what it does not have. */
  function shared(job: Job, turn = 0): Answer | Coming<Answer> {
    const missing = look(job)
    if (missing.length === 0) return settled(job)
    if (missing.some(({ row }) => markers.has(row.digest))) return alone(job)
    const joined: Line[] = []
    const ours: Line[] = []
    const flown: Flight<Landing>[] = []
    for (const line of missing) {
      const flight = flights.join(line.row.digest)
      if (flight) flown.push(flight)
      ;(flight ? joined : ours).push(line)
    }
    if (ours.length > 0) {
      const digests = ours.map(({ row }) => row.digest)
      for (const flight of flights.open(digests, (load) => fill(job, load), landedNowhere)) flown.push(flight)
    }
    const { signal } = job.call
    return after(all(flown.map((flight) => flight.wait(signal))), (landings) =>
      arrived(job, { joined, ours, landings, turn }),
    )
  }

  function arrived(job: Job, { joined, ours, landings, turn }: Arrival): Answer | Coming<Answer> {
    for (const [i, line] of joined.entries()) {
      line.joined = true
      if (suits(landings[i], job.wish)) take(line, landings[i])
    }
    for (const [i, line] of ours.entries()) {
      line.joined = false
      take(line, landings[joined.length + i])
    }
    const troubled = landings.findIndex((landing) => landing.kind !== 'entry')
    if (troubled < 0) {
      if (job.sheet.missing.length === 0) return settled(job)
      return turn === 0 ? shared(job, turn + 1) : alone(job)
    }
    const trouble = landings[troubled] as Trouble
    const wasJoined = troubled < joined.length
    // Somebody else's load failed in a way that ours need not: one more turn, with a flight of our own if need be.
    if (wasJoined && turn === 0 && isAnothers(trouble)) return shared(job, turn + 1)
    return unkept(job, trouble, wasJoined)
  }

  /** What a load found in a tier is as fresh as its own caller asked for, which may be too old for one who joined. */
  function suits(landing: Landing | undefined, wish: Directives): boolean {
    if (landing?.kind !== 'entry' || landing.tier === undefined) return true
    return judge(landing.entry, wish, clock.wall()) === 'fresh'
  }

  /** Memory's answers; gives the lines it has none for. What is stale but may still be used is renewed behind it. */
  function look(job: Job): readonly Line[] {
    const { sheet, wish } = job
    const now = clock.wall()
    for (const line of sheet.missing) {
      const entry = cache.peek(line.row.digest)
      if (!entry) continue
      const freshness = judge(entry, wish, now)
      if (freshness === 'fresh' || freshness === 'revalidate') [line.entry, line.tier] = [entry, memory]
      if (freshness === 'revalidate' && !wish.noStore && !wish.onlyIfCached) renew(job, line)
      if (freshness === 'fallback') line.fallback = entry
    }
    return sheet.missing
  }

  /** One new answer for a row that is about to be too old, with nobody waiting for it. */
  function renew(job: Job, { row }: Line): void {
    if (flights.has(row.digest)) return
    const renewed = { ...job, sheet: new Sheet([row]), wish: { ...job.wish, noCache: true } }
    flights.open(
      [row.digest],
      (load) => (claims ? claims.alone(row.digest, async () => fill(renewed, load)) : fill(renewed, load)),
      landedNowhere,
    )
  }

  /** Without a flight: for `no-cache`, whose new answer replaces the old one, and for what was found uncacheable. */
  async function alone(job: Job): Promise<Answer> {
    const landings = new Map<Digest, Landing>()
    const digests = job.sheet.lines.map(({ row }) => row.digest)
    const land = (digest: Digest, landing: Landing) => void landings.set(digest, landing)
    await fill({ ...job, wish: { ...job.wish, noCache: true } }, { digests, signal: job.call.signal, land })
    for (const line of job.sheet.lines) {
      line.tier = undefined
      const landing = landings.get(line.row.digest) ?? landedNowhere(undefined)
      if (landing.kind !== 'entry') return unkept(job, landing, false)
      take(line, landing)
      markers.lift(line.row.digest)
    }
    const answer = await settled(job)
    if (!job.wish.noCache || answer.outcome.kind === 'bypass') return answer
    const fresh = 'ttlMs' in answer.outcome ? { ttlMs: answer.outcome.ttlMs } : {}
    return {
      reply: answer.reply,
      outcome: { kind: 'request', reason: 'no-cache', stored: true, status: 200, ...fresh },
    }
  }

  /** `no-store` and `only-if-cached`: what is there may be used, nothing is left behind. */
  async function looked(job: Job): Promise<Answer> {
    const missing = look(job)
    const found =
      job.seed.shared && !job.isSought ? await cache.lookup(missing.map(({ row }) => row.digest)) : []
    missing.forEach((line, i) => {
      const known = found[i]
      if (known && judge(known.entry, job.wish, clock.wall()) === 'fresh')
        take(line, { kind: 'entry', ...known })
    })
    if (job.sheet.missing.length === 0) return compose.answer(job)
    return forward(job.call, job.matched, job.wish.onlyIfCached ? 'only-if-cached' : 'no-store')
  }

  function settled(job: Job): Answer | Coming<Answer> {
    const answer = compose.answer(job)
    return isComing(answer) ? after(answer, (come) => noted(job, come)) : noted(job, answer)
  }

  function noted(job: Job, answer: Answer): Answer {
    // What it was put together from may have been purged by key meanwhile.
    if (answer.outcome.kind !== 'bypass' && cache.mark() === job.began) {
      // Most answers are never asked for again: the first repeat of one makes it ready. What is ready is replaced.
      if (job.sheet.lines.every(({ tier }) => tier !== undefined) || ready.get(job.raw))
        ready.set(job.raw, answer.reply, job.sheet.entries() ?? [])
      if (!job.rows && !job.wish.noTransform) aliases?.set(job.raw, job.plan.whole)
    }
    return answer
  }

  /** What a load brought that is no entry: an error, an answer not to be kept, or one for a single taker. */
  function unkept(job: Job, trouble: Trouble, collapsed: boolean): Answer | Coming<Answer> {
    const { call, matched, sheet } = job
    const reply = replyFor(trouble, collapsed)
    if (trouble.kind === 'failed' ? trouble.error.fault.blame !== 'caller' : (reply?.status ?? 0) >= 500) {
      const stale = compose.stale(job, reply?.status)
      if (stale) return stale
    }
    if (trouble.kind === 'failed') throw trouble.error
    if (trouble.kind === 'single') for (const { row } of sheet.missing) markers.set(row.digest)
    // Part of a batch was refused: the caller must hear what the whole batch would have been told.
    if (!reply || (trouble.partial && reply.status < 500)) {
      letGo(reply?.body)
      return forward(call, matched, 'not cacheable')
    }
    return compose.unkept(job, reply, { collapsed, counts: sheet.counts() })
  }
}

/** What came of the flights for a call's rows: of those it joined first. */
interface Arrival {
  readonly joined: readonly Line[]
  readonly ours: readonly Line[]
  readonly landings: readonly Landing[]
  readonly turn: number
}

/** `no-transform`: another spelling is another request (RFC 10008, section 2.7), so the key is that of the bytes. */
function asItCame({ common }: Plan, raw: Digest): Plan {
  return { whole: raw, common }
}

/** A whole call goes upstream as it came, and needs no wire. */
const NOTHING = new Uint8Array(0)

function take(line: Line, landing: Landing | undefined): void {
  if (landing?.kind !== 'entry') return
  line.entry = landing.entry
  line.tier = landing.tier
  line.joined ||= landing.joined === true
}
