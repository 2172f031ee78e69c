/**
 * The ways of a call that was read: with the others who ask the same, alone, or only looking.
 *
 *   memory → flights ─┬─ joined: wait
 *                     └─ ours: fill
 *   → assemble, or what came instead of an entry
 */
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { after, all, type Coming, isComing } from '../../lib/later.ts'
import { letGo } from '../backend/incoming.ts'
import type { Entry } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { Claims } from '../flight/claims.ts'
import type { Asker, Flight, Flights, Load } from '../flight/flights.ts'
import type { Markers } from '../flight/hit-for-miss.ts'
import type { Aliases } from '../hits/aliases.ts'
import type { ReadyAnswers } from '../hits/ready.ts'
import { suits, type Taker } from '../key/forms.ts'
import type { VersionRules } from '../key/statements.ts'
import type { Job, Landing, RefusalOf } from '../rows/lookup-context.ts'
import { type Line, Sheet } from '../rows/row-lookups.ts'
import type { Forward } from '../upstream/forward.ts'
import type { Compose } from './compose.ts'
import type { Fill } from './fill.ts'
import { isAnothers, landedNowhere, replyFor, type Trouble } from './load-failure.ts'

export interface WayParts {
  readonly cache: Tiered
  /** The name of process memory in the settings. */
  readonly memory: string
  readonly ready: ReadyAnswers
  /** Undefined: there is no shared tier. */
  readonly aliases: Aliases | undefined
  readonly flights: Flights<Landing>
  readonly markers: Markers
  /** Undefined: this process has one worker. */
  readonly claims?: Pick<Claims, 'alone'> | undefined
  readonly fill: Fill
  readonly mayGive: VersionRules['mayGive']
  readonly compose: Compose
  readonly forward: Forward
  readonly refusalOf: RefusalOf
  readonly clock: Clock
}

export interface Ways {
  shared(job: Job): Answer | Coming<Answer>
  alone(job: Job): Coming<Answer>
  looked(job: Job): Coming<Answer>
}

export function createWays(parts: WayParts): Ways {
  const { cache, memory, ready, aliases, flights, markers, claims, fill, compose, forward, refusalOf } = parts
  const { mayGive, clock } = parts
  const gate = { flights, open }
  return { shared, alone, looked }

  /** The ordinary way: memory, then flights for what it does not have. */
  function shared(job: Job, turn = 0): Answer | Coming<Answer> {
    const missing = look(job)
    if (missing.length === 0) return settled(job)
    for (const { row } of missing) if (markers.has(row.digest)) return alone(job)
    const boarded = board(gate, job, missing)
    const { flown } = boarded
    const { signal } = job.call
    const [only] = flown
    // Most calls are of one row, or read as one.
    if (only && flown.length === 1)
      return after(only.wait(signal), (landing) => arrived(job, boarded, [landing], turn))
    return after(all(flown.map((flight) => flight.wait(signal))), (landings) =>
      arrived(job, boarded, landings, turn),
    )
  }

  function open(job: Job, digests: readonly Digest[]): readonly Flight<Landing>[] {
    return flights.open(digests, (load) => fill(job, load), landedNowhere, askerOf(job))
  }

  function arrived(
    job: Job,
    { joined, ours }: Boarded,
    landings: readonly Landing[],
    turn: number,
  ): Answer | Coming<Answer> {
    for (let i = 0; i < landings.length; i++) {
      const line = (i < joined.length ? joined[i] : ours[i - joined.length]) as Line
      line.joined = i < joined.length
      if (!line.joined || isFit(landings[i], job)) take(line, landings[i])
    }
    const troubled = landings.findIndex(isTrouble)
    if (troubled < 0) {
      if (job.sheet.missing.length === 0) return settled(job)
      return turn === 0 ? shared(job, turn + 1) : alone(job)
    }
    const trouble = landings[troubled] as Trouble
    const wasJoined = troubled < joined.length
    // Somebody else's load failed in a way that ours need not: one more turn, with a flight of our own if need be.
    if (wasJoined && turn === 0 && isAnothers(trouble, () => refusalOf(job))) return shared(job, turn + 1)
    return unkept(job, trouble, wasJoined)
  }

  /** What a load found in a tier is as fresh as its own caller asked for, and a refusal was said to its own caller. */
  function isFit(landing: Landing | undefined, job: Job): boolean {
    if (landing?.kind !== 'entry') return true
    if (landing.entry.negative) return landing.entry.digest === refusalOf(job)
    if (!suits(landing.entry, job)) return false
    return landing.tier === undefined || judge(landing.entry, job.wish, clock.wall()) === 'fresh'
  }

  /** Memory's answers; gives the lines it has none for. What is stale but may still be used is renewed behind it. */
  function look(job: Job): readonly Line[] {
    const { sheet, wish } = job
    let now: number | undefined
    for (const line of sheet.missing) {
      const known = cache.peek(line.row.digest)
      const entry = known && suits(known, job) ? known : refusal(job)
      if (!entry || !mayGive(job.matched, entry)) continue
      now ??= clock.wall()
      const freshness = judge(entry, wish, now)
      if (freshness === 'fresh' || freshness === 'revalidate') [line.entry, line.tier] = [entry, memory]
      if (freshness === 'revalidate' && !wish.noStore && !wish.onlyIfCached) renew(job, line)
      if (freshness === 'fallback') line.fallback = entry
    }
    return sheet.missing
  }

  /** What the route remembers that this very call was told. */
  function refusal({ call, raw, rows, matched }: Job): Entry | undefined {
    if (!matched.route.cache?.negativeTtl || rows) return undefined
    const key = refusalOf({ call, raw })
    return key && cache.peek(key)
  }

  /** One new answer for a row that is about to be too old, with nobody waiting for it: however short the caller's time was. */
  function renew(job: Job, { row }: Line): void {
    if (flights.has(row.digest)) return
    const renewed = { ...job, sheet: new Sheet([row]), wish: { ...job.wish, noCache: true } }
    const asker = { deadline: clock.now() + job.matched.route.timeout, group: groupOf(job) }
    const run = (load: Load<Landing>) =>
      claims ? claims.alone(row.digest, async () => fill(renewed, load)) : fill(renewed, load)
    flights.open([row.digest], run, landedNowhere, asker)
  }

  /**
   * Without a flight: for `no-cache`, whose new answer replaces the old one, for what was found uncacheable, and `again`
   * for rows that do not belong together, known ones and new ones of two versions say: the whole batch is fetched anew.
   */
  async function alone(job: Job, again = false): Promise<Answer> {
    const landings = new Map<Digest, Landing>()
    const digests = job.sheet.lines.map(({ row }) => row.digest)
    const land = (digest: Digest, landing: Landing) => void landings.set(digest, landing)
    const { signal, deadline } = job.call
    await fill({ ...job, wish: { ...job.wish, noCache: true } }, { digests, signal, deadline, land })
    for (const line of job.sheet.lines) {
      line.entry = line.tier = undefined
      line.joined = false
      const landing = landings.get(line.row.digest) ?? landedNowhere(undefined)
      if (landing.kind !== 'entry') return unkept(job, landing, false)
      take(line, landing)
      markers.lift(line.row.digest)
    }
    const answer = await settled(job, again)
    if (!job.wish.noCache || answer.outcome.kind === 'bypass') return answer
    const fresh = 'ttlMs' in answer.outcome ? { ttlMs: answer.outcome.ttlMs } : {}
    return {
      reply: answer.reply,
      outcome: { kind: 'request', reason: 'no-cache', stored: job.sheet.isKept, status: 200, ...fresh },
    }
  }

  /** `no-store` and `only-if-cached`: what is there may be used, nothing is left behind. */
  async function looked(job: Job): Promise<Answer> {
    const missing = look(job)
    const found =
      job.seed.shared && !job.isSought ? await cache.lookup(missing.map(({ row }) => row.digest)) : []
    missing.forEach((line, i) => {
      const known = found[i]
      if (!known || !mayGive(job.matched, known.entry)) return
      if (isFit({ kind: 'entry', ...known }, job)) take(line, { kind: 'entry', ...known })
    })
    const answer = job.sheet.missing.length === 0 ? compose.answer(job) : undefined
    return answer ?? forward(job.call, job.matched, job.wish.onlyIfCached ? 'only-if-cached' : 'no-store')
  }

  function settled(job: Job, again = false): Answer | Coming<Answer> {
    const answer = compose.answer(job)
    if (!answer) return again ? forward(job.call, job.matched, 'rows do not match') : alone(job, true)
    return isComing(answer) ? after(answer, (come) => noted(job, come)) : noted(job, answer)
  }

  function noted(job: Job, answer: Answer): Answer {
    // Its own key covers more than the bytes.
    if (job.sheet.lines[0]?.entry?.negative) return answer
    // What it was put together from may have been purged by key meanwhile.
    if (answer.outcome.kind !== 'bypass' && cache.mark() === job.began) {
      // Most answers are never asked for again: the first repeat of one makes it ready.
      if (job.sheet.isKnown) ready.set(job.raw, answer.reply, job.sheet.entries() ?? [])
      // What was fetched goes out with all that the backend said, which is not for those who ask next.
      else if (ready.get(job.raw)) ready.delete(job.raw)
      // Who asks a tier by an alias has read neither the body nor its form.
      if (!job.rows && !job.wish.noTransform && job.isShown) aliases?.set(job.raw, job.plan.whole)
    }
    return answer
  }

  /** What a load brought that is no entry: an error, an answer not to be kept, or one for a single taker. */
  function unkept(job: Job, trouble: Trouble, collapsed: boolean): Answer | Coming<Answer> {
    const { call, matched, sheet } = job
    const reply = replyFor(trouble, collapsed ? () => refusalOf(job) : undefined)
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

/** Joins the flights that are under way, and opens the others together. */
function board({ flights, open }: Gate, job: Job, missing: readonly Line[]): Boarded {
  const [only] = missing
  if (only && missing.length === 1) {
    const flight = flights.join(only.row.digest, askerOf(job))
    return flight
      ? { joined: missing, ours: NONE, flown: [flight] }
      : { joined: NONE, ours: missing, flown: open(job, [only.row.digest]) }
  }
  const joined: Line[] = []
  const ours: Line[] = []
  const flown: Flight<Landing>[] = []
  const asker = askerOf(job)
  for (const line of missing) {
    const flight = flights.join(line.row.digest, asker)
    if (flight) flown.push(flight)
    ;(flight ? joined : ours).push(line)
  }
  if (ours.length === 0) return { joined, ours, flown }
  const opened = open(
    job,
    ours.map(({ row }) => row.digest),
  )
  return { joined, ours, flown: flown.concat(opened) }
}

interface Gate {
  readonly flights: Flights<Landing>
  readonly open: (job: Job, digests: readonly Digest[]) => readonly Flight<Landing>[]
}

/** Lines that wait for the flights of others and for their own, and these flights in that order. */
interface Boarded {
  readonly joined: readonly Line[]
  readonly ours: readonly Line[]
  readonly flown: readonly Flight<Landing>[]
}

const NONE: readonly Line[] = []

function askerOf(job: Job): Asker {
  return { deadline: job.call.deadline, group: groupOf(job) }
}

/** Calls in forms that their server has shown to take join each other; any other only its like. */
function groupOf({ form, isShown }: Taker): number {
  return isShown ? 0 : form
}

function isTrouble({ kind }: Landing): boolean {
  return kind !== 'entry'
}

function take(line: Line, landing: Landing | undefined): void {
  if (landing?.kind !== 'entry') return
  line.entry = landing.entry
  line.tier = landing.tier
  line.joined ||= landing.joined === true
  line.lost = landing.lost === true
  if (!line.joined) line.own = landing.own
}
