/**
 * The cache side of one call, from its head to its rows. Read this file first.
 *
 *   may it be cached? → raw bytes known, here or in a tier? → read into rows → memory
 *                        → flights ─┬─ joined: wait
 *                                   └─ ours: tiers → dispatch → store
 *   → assemble → answer
 *
 * A call is a list of rows; a dialect that cannot be split yields one row, the whole call. lookup.ts looks up, joins or
 * loads each row, and assembles the answer from them. See docs/architecture/life-of-a-call.md.
 */
import { type Call, isWhole, type WholeBody } from '../../core/call.ts'
import { Chunks } from '../../core/chunks.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import { cooperatively } from '../../lib/cooperative.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import type { Plan, Reading, ReadOptions } from '../../protocol/protocol.ts'
import type { Directives } from '../cache/directives.ts'
import { replyOf } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import { type Admission, type AdmissionVerdict, callerOf } from '../decision/admission.ts'
import {
  type CacheDecision,
  type CacheDecisions,
  type DecisionKey,
  type DecisionNotes,
  stillHolds,
} from '../decision/cache-decision.ts'
import type { HeadNotes } from '../exchange/exchange.ts'
import { replyFrom } from '../hits/ready-answers.ts'
import type { HttpCache } from '../http-cache/http-cache.ts'
import { type Forms, suits } from '../key/forms.ts'
import { rawDigest, rawDigestSteps } from '../key/raw.ts'
import type { Chosen } from '../route/choose-pool.ts'
import { isHttpWrite, isUnsettled, type Matched } from '../route/routes.ts'
import { type LookupContext, rawOf, type TierMiss } from '../rows/lookup-context.ts'
import { RowLookups } from '../rows/row-lookups.ts'
import type { Splitting } from '../rows/splitting.ts'
import { Lookup, type LookupParts } from './lookup.ts'
import type { ModelList } from './model-list.ts'

export interface Stages extends LookupParts {
  readonly decisions: CacheDecisions
  readonly admission: Admission
  readonly splitting: Splitting
  readonly forms: Pick<Forms, 'has' | 'shown'>
  /** For opaque routes. */
  readonly http: HttpCache
  /** For targets that gather. */
  readonly models: ModelList
}

/**
 * Answers a call: at once if there is nothing to wait for. Errors are thrown, or reject the awaitable. `notes`: those on the
 * call's head. `tierMiss`: a shared hit was tried for the request, so its caller is admitted and the tiers were asked.
 */
export type Pipeline = (
  call: Call,
  matched: Matched,
  notes?: HeadNotes,
  tierMiss?: TierMiss,
) => Answer | Awaitable<Answer>

/** What was found out of a call before the pipeline. */
export interface CallNotes {
  readonly notes: HeadNotes | undefined
  readonly tierMiss: TierMiss | undefined
  /** Left out: the call has one pool. */
  readonly admittance?: Admittance | undefined
}

/** How a call was admitted that may go to several pools: it is asked about once, and is the same call in each of them. */
export interface Admittance {
  /** Undefined: nobody has asked yet. */
  verdict?: Exclude<AdmissionVerdict, GatewayError> | undefined
}

/** The pipeline of a call whose pool is known (`traffic.ts`). */
export type PoolPipeline = (call: Call, chosen: Chosen, known: CallNotes) => Answer | Awaitable<Answer>

/** A call whose head was read. */
type Opening = Chosen &
  Pick<LookupContext, 'call' | 'began'> & {
    readonly tierMiss: TierMiss | undefined
    readonly admittance: Admittance | undefined
    /** The decision of the head alone, if it does not settle the route or the pool. */
    readonly open: CacheDecision | undefined
  }

/** A call whose raw bytes were digested. */
type Known = Omit<LookupContext, 'plan' | 'rows' | 'lookups' | 'isTierMiss' | 'form' | 'isShown'> &
  Omit<Opening, 'admittance'>

export function createPoolPipeline(stages: Stages): PoolPipeline {
  const {
    decisions,
    cache,
    memory,
    ready,
    aliases,
    splitting,
    forms,
    compose,
    forward,
    clock,
    http,
    admission,
  } = stages
  const lookup = new Lookup(stages)

  return function answer(call, chosen, known) {
    const answering = opened(call, chosen, known)
    return isHttpWrite(call, chosen.matched) ? afterWrite(call, answering) : answering
  }

  /** Invalidates what a write has changed before its answer goes out (RFC 9111, section 4.4). */
  async function afterWrite(call: Call, answering: Answer | Awaitable<Answer>): Promise<Answer> {
    const answer = await answering
    await http.invalidate(call, answer)
    return answer
  }

  function opened(
    call: Call,
    { matched, choice }: Chosen,
    { notes, tierMiss, admittance }: CallNotes,
  ): Answer | Awaitable<Answer> {
    const head = notes?.matched
    const open = head && isUnsettled(head) ? decisions.open(call, head, notes) : undefined
    const opening = { call, matched, choice, began: cache.mark(), tierMiss, admittance, open }
    const decision = decisions.of(call, matched, open ? settledNotes(notes) : notes)
    return decision instanceof Promise
      ? after(decision, (known) => admitted(opening, known))
      : admitted(opening, decision)
  }

  /** Admits the call. A `no-cache` beyond the caller's budget is ignored, as if the call had not had it. */
  function admitted(opening: Opening, decision: CacheDecision): Answer | Awaitable<Answer> {
    const { call, matched } = opening
    const { directives } = decision
    const verdict = admittedBefore(opening) ?? admission.admit(...asked(call, directives))
    if (verdict instanceof GatewayError) throw verdict
    if (opening.admittance) opening.admittance.verdict = verdict
    if (verdict === 'allowed') return keyed(opening, decision)
    const own = decisions.forDirectives(call, matched, { ...directives, noCache: false, ignored: 'no-cache' })
    return own instanceof Promise ? after(own, (known) => keyed(opening, known)) : keyed(opening, own)
  }

  function keyed(opening: Opening, decision: CacheDecision): Answer | Awaitable<Answer> {
    // 1. Forward the call if the route, the caller or the call itself keeps it out of the cache.
    const { call, matched, open } = opening
    const { directives, reason, key } = decision
    const { body } = call
    if (decision.http && isWhole(body))
      return http.answer(call, matched, { directives, seeds: decision.http })
    if (matched.gathered) return stages.models(call, matched)
    if (!key) return forward(call, matched, reason ?? 'not enabled')
    if (!isWhole(body)) return forward(call, matched, 'streamed')
    const { prefix } = open?.key ?? key
    return body instanceof Chunks
      ? digestedInSteps(opening, decision, body, prefix)
      : digested(knownOf(opening, decision, body, rawDigest(prefix, body)))
  }

  function digestedInSteps(
    opening: Opening,
    decision: CacheDecision,
    body: Chunks,
    prefix: string,
  ): Awaitable<Answer> {
    const digesting = cooperatively(rawDigestSteps(prefix, body), opening.call.signal)
    return after(digesting, (repeat) => digested(knownOf(opening, decision, body, repeat)))
  }

  function digested(found: Known): Answer | Awaitable<Answer> {
    // 2. Answer a byte-identical repeat from memory without reading the body.
    const { directives, body, seed, repeat, open } = found
    const known = directives.noCache || directives.noTransform ? undefined : ready.get(repeat)
    const mayBeGiven = known !== undefined && (!known.of || (open && stillHolds(known.of, open)))
    if (mayBeGiven && judge(known, directives, clock.wall()) === 'fresh') {
      sampled(found)
      return { reply: replyFrom(known), outcome: compose.hitOutcome([known], memory, directives) }
    }

    // 3. Look for a repeat that only a shared tier may have there, also without reading the body.
    if (found.tierMiss) return read(found, found.tierMiss)
    if (!aliases || !seed.shared || directives.noCache || directives.noTransform || body instanceof Chunks)
      return read(found)
    const alias = aliases.get(repeat)
    if (!alias || cache.peek(alias.whole) || (alias.of && !(open && stillHolds(alias.of, open))))
      return read(found)
    return fromTiers(found, alias.whole)
  }

  /** Answers bytes whose key is known from the shared tiers; on a miss the body is read after all. */
  async function fromTiers(found: Known, whole: Digest): Promise<Answer> {
    const { call, matched, directives } = found
    const from = clock.now()
    const [kept] = await cache.lookup([whole])
    call.record?.step('cache', from, clock.now(), kept?.tier)
    const mayBeGiven = kept !== undefined && stages.mayGive(matched, kept.entry)
    const freshness = mayBeGiven ? judge(kept.entry, directives, clock.wall()) : 'dead'
    if (!kept || freshness !== 'fresh')
      return read(found, { fallback: freshness === 'dead' ? undefined : kept?.entry })
    const { form } = kept.entry
    const origin = { form, shown: forms.shown(matched) }
    sampled(found)
    const reply = matched.protocol.address(replyOf(kept.entry), call, undefined, origin)
    if (!reply) return read(found, { fallback: undefined })
    if (!directives.noStore && cache.mark() === found.began)
      ready.set(found.repeat, reply, [kept.entry], found.foundFor)
    return { reply, outcome: compose.hitOutcome([kept.entry], kept.tier, directives) }
  }

  /** Notes a call that is answered without being read, if its route is sampled and it is in the sample: it is read for that. */
  function sampled({ call, matched, directives, body, seed }: Known): void {
    const weight = directives.noStore ? 0 : (matched.route.warm?.takes() ?? 0)
    if (weight === 0 || body instanceof Chunks) return
    const split = splitting.reads(matched)
    const plan = matched.protocol.read(call, body, readOptions(matched, seed.digest, split))
    if ('bypass' in plan) return
    const rows = splitting.splits(matched, plan) ? plan.rows : undefined
    stages.samples.note({ call, matched, seed, plan, rows }, weight)
  }

  function read(found: Known, tierMiss?: TierMiss): Answer | Awaitable<Answer> {
    // 4. Read the body into rows.
    const { call, matched, body, seed } = found
    const split = splitting.reads(matched)
    const options = readOptions(matched, seed.digest, split)
    if (!(body instanceof Chunks)) return planned(found, matched.protocol.read(call, body, options), tierMiss)
    const reading = cooperatively(matched.protocol.readChunks(call, body, options), call.signal)
    return after(reading, (known) => planned(found, known, tierMiss))
  }

  /** What was asked in other words before, and made ready. */
  function byMeaning({ directives, repeat, foundFor }: Known, { answer }: Plan): Answer | undefined {
    if (answer === undefined || directives.noCache || directives.noTransform) return undefined
    const known = ready.byMeaning(answer, repeat, foundFor)
    if (!known || judge(known, directives, clock.wall()) !== 'fresh') return undefined
    return { reply: replyFrom(known), outcome: compose.hitOutcome([known], memory, directives) }
  }

  function planned(found: Known, reading: Reading, miss: TierMiss | undefined): Answer | Awaitable<Answer> {
    const { call, matched, directives, seed, repeat, foundFor } = found
    if ('bypass' in reading) return forward(call, matched, reading.bypass)
    const alike = byMeaning(found, reading)
    if (alike) {
      const weight = directives.noStore ? 0 : (matched.route.warm?.takes() ?? 0)
      if (weight > 0) stages.samples.note({ call, matched, seed, plan: reading, rows: reading.rows }, weight)
      return alike
    }
    const plan = directives.noTransform ? keyedByBytes(reading, rawOf({ foundFor, seed, repeat })) : reading
    const rows = splitting.splits(matched, plan) ? plan.rows : undefined
    const isShown = forms.has(matched, plan.form ?? 0)
    const context = contextOf(found, plan, { rows, isShown, isTierMiss: miss !== undefined })
    if (miss?.fallback && suits(miss.fallback, context)) context.lookups.fallBack(plan.whole, miss.fallback)

    // 5. Look the rows up; some directives forbid to share a load.
    if (directives.noCache) return lookup.uncoalesced(context)
    if (directives.noStore || directives.onlyIfCached) return lookup.readOnly(context)
    return lookup.coalesced(context)
  }
}

/** Written out: spreading an object costs as much as a look-up. */
function knownOf(
  { call, matched, choice, began, tierMiss, open }: Opening,
  { directives, key, revision }: CacheDecision,
  body: WholeBody,
  repeat: Digest,
): Known {
  const { seed } = key as DecisionKey
  return {
    call,
    matched,
    choice,
    directives,
    body,
    seed,
    repeat,
    foundFor: open?.key && { matched, revision, choice },
    began,
    tierMiss,
    open,
  }
}

/** The same. */
function contextOf(
  { call, matched, directives, body, seed, repeat, foundFor, began }: Known,
  plan: Plan,
  { rows, isShown, isTierMiss }: Pick<LookupContext, 'rows' | 'isShown' | 'isTierMiss'>,
): LookupContext {
  const lookups = new RowLookups(rows ?? [{ digest: plan.whole, wire: NOTHING }])
  const { form = 0 } = plan
  return {
    call,
    matched,
    directives,
    body,
    plan,
    rows,
    seed,
    repeat,
    foundFor,
    lookups,
    began,
    isTierMiss,
    form,
    isShown,
  }
}

function readOptions({ route }: Matched, seed: Digest, split: ReturnType<Splitting['reads']>): ReadOptions {
  const keepsSampled = route.cache?.sampled === true
  return { seed, split: split !== 'whole', onlyBatches: split === 'batches', keepsSampled }
}

/** The verdict, where somebody has asked for the call: for another pool, or before the tiers were asked for a shared hit. */
function admittedBefore({ admittance, tierMiss }: Opening): Admittance['verdict'] {
  return admittance?.verdict ?? (tierMiss && 'allowed')
}

/** Who asks, and for what, as admission counts it. */
function asked({ identity, principal, peer }: Call, { noCache }: Directives): Parameters<Admission['admit']> {
  return [identity, callerOf(principal, peer), noCache ? 'refresh' : 'answer']
}

/** Where the decision for the route that a body settled is kept: it holds as long as the head's own, and for calls that name the same model. */
function settledNotes(notes: HeadNotes | undefined): DecisionNotes | undefined {
  return notes && (notes.settled ??= {})
}

/** For `no-transform`: another spelling is another request (RFC 10008, section 2.7), so the key is that of the bytes. */
function keyedByBytes({ common, form = 0 }: Plan, raw: Digest): Plan {
  return { whole: raw, common, form }
}

/** The wire form of a whole call, which goes upstream as it came. */
const NOTHING = new Uint8Array(0)
