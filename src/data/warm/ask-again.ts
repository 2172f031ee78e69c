/**
 * Asks calls again that no caller asks now, so that their answers are kept: under the key that a caller's call would have, in the
 * partition of the caller that they were recorded of, and in the pool that is named. It is the pipeline that asks, so a caller who
 * wants the same meanwhile joins, and a call that is under way already is joined.
 *
 * Whoever has made a file of calls chooses what is asked, and nothing else: fields that are in no key do not go to the backend.
 */
import { type Call, isWhole } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import type { Identity } from '../../core/identity.ts'
import type { Digest } from '../../core/key.ts'
import type { Labels } from '../../core/labels.ts'
import type { Answer } from '../../core/reply.ts'
import { PRIORITIES, type TenantShare } from '../../core/tenant-share.ts'
import type { WarmFound, WarmRequest, WarmResult, WarmSkip, WarmTarget } from '../../core/warm.ts'
import { Cancel } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Plan } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import type { AuthLive } from '../auth/authenticator.ts'
import { isAsked, refusalOf } from '../auth/authorize.ts'
import { letGo } from '../backend/incoming.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { CacheDecisions } from '../decision/cache-decision.ts'
import { requestFields, withoutSecrets } from '../record/described.ts'
import { choosePool, inEachPool, isSplit } from '../route/choose-pool.ts'
import { isOpen, type Matched } from '../route/routes.ts'
import { settle } from '../route/settle.ts'
import { parseTarget } from '../route/target.ts'
import type { Splitting } from '../rows/splitting.ts'
import type { PoolPipeline } from '../serve/pipeline.ts'

export interface AskAgainParts {
  readonly live: () => AuthLive
  readonly decisions: Pick<CacheDecisions, 'of'>
  readonly splitting: Pick<Splitting, 'reads' | 'splits'>
  readonly cache: Pick<Tiered, 'areFresh'>
  readonly answer: PoolPipeline
  readonly mintId: () => string
  readonly clock: Clock
  readonly random: () => number
}

/** Longer bodies are read in steps, or stream. */
const MAX_BODY_BYTES = 4 << 20

export class AskAgain {
  readonly #parts: AskAgainParts

  constructor(parts: AskAgainParts) {
    this.#parts = parts
  }

  /** Looks a call up where it would be asked. Rejects only by a fault of ours. */
  async find(request: WarmRequest, target: WarmTarget): Promise<WarmFound> {
    const call = this.#callOf(request)
    if (typeof call === 'string') return { skipped: call }
    const matched = await this.#matchedOf(call, target)
    if (typeof matched === 'string') return { skipped: matched }
    const asked = { ...call, target: matched.target }
    const plan = await this.#planOf(asked, matched)
    if (!plan) return { skipped: 'uncacheable' }
    const keys = this.#keysOf(plan, matched)
    if (await this.#areThere(keys)) return { isPresent: true }
    return { isPresent: false, ask: (signal) => this.#ask(asked, matched, { keys, signal }) }
  }

  /** The call without what differs from one attempt to the next. */
  #callOf(request: WarmRequest): Call | WarmSkip {
    const { method, host, principal, body } = request
    if (body.length > Math.min(MAX_BODY_BYTES, this.#parts.live().maxBodyBytes)) return 'long'
    if (withoutSecrets(request.query) !== request.query || request.query.includes('***')) return 'credentials'
    const at = targetOf(request)
    if (!at || !areFields(request.headers)) return 'unreadable'
    return {
      id: '',
      ...at,
      method,
      host,
      headers: request.headers,
      peer: '',
      principal,
      target: undefined,
      body,
      deadline: Number.POSITIVE_INFINITY,
      signal: new Cancel(),
    }
  }

  /** The match in the pool that is to be asked, and the caller in the call. */
  async #matchedOf(call: Writable<Call>, target: WarmTarget): Promise<Matched | WarmSkip> {
    const { route, auth } = this.#parts.live()
    const known = auth?.recorded(call.principal)
    const { method, path, host, headers } = call
    const found = route({ method, path, host, headers, tenant: known?.identity?.tenant ?? '' })
    const settled = found && isOpen(found) ? settle(found, call.body as Uint8Array) : found
    if (!settled || settled.route.name !== target.route) return 'route'
    call.headers = requestFields(headers, route.fields)
    call.path = settled.route.rewrite?.path(path) ?? path
    if (isAsked(settled)) {
      if (!known) return 'credentials'
      if (refusalOf(known, settled)) return 'tenant'
      call.identity = known.identity && unlimited(known.identity)
    } else if (call.principal !== '') return 'credentials'
    call.share = shareWith(call.identity?.policy?.backends)
    return this.#inPool(call, settled, target)
  }

  async #inPool(call: Call, matched: Matched, { pool, only }: WarmTarget): Promise<Matched | WarmSkip> {
    const pools = inEachPool(matched)
    const wanted = pools.find(({ route }) => route.pool === pool)
    if (pool !== undefined && !wanted) return 'pool'
    if (!isSplit(matched)) return wanted ?? matched
    const isDrawn = matched.route.split.weights.sticky === 'none'
    if (wanted && (!only || isDrawn)) return wanted
    const chosen = await choosePool(call, matched, this.#parts.random)
    return wanted && chosen.matched !== wanted ? 'elsewhere' : chosen.matched
  }

  /** Undefined: the call is not kept. */
  async #planOf(call: Call, matched: Matched): Promise<Plan | undefined> {
    const { decisions, splitting } = this.#parts
    const { key } = await decisions.of(call, matched)
    if (!key) return undefined
    const split = splitting.reads(matched)
    const reading = matched.protocol.read(call, call.body as Uint8Array, {
      seed: key.seed.digest,
      split: split !== 'whole',
      onlyBatches: split === 'batches',
      keepsSampled: matched.route.cache?.sampled === true,
    })
    return 'bypass' in reading ? undefined : reading
  }

  #keysOf(plan: Plan, matched: Matched): readonly Digest[] {
    const rows = this.#parts.splitting.splits(matched, plan) ? plan.rows : undefined
    return rows ? [...new Set(rows.map(({ digest }) => digest))] : [plan.whole]
  }

  async #areThere(keys: readonly Digest[]): Promise<boolean> {
    return (await this.#parts.cache.areFresh(keys)).every(Boolean)
  }

  async #ask(
    call: Call,
    matched: Matched,
    { keys, signal }: { readonly keys: readonly Digest[]; readonly signal: AbortSignal },
  ): Promise<WarmResult> {
    const { answer, mintId, clock } = this.#parts
    const cancel = new Cancel()
    const deadline = clock.now() + matched.route.timeout
    const left = () => cancel.abort(new GatewayError('callerLeft', 'the warming was stopped'))
    const late = clock.after(matched.route.timeout, () =>
      cancel.abort(new GatewayError('deadline', 'no answer within the timeout of the route')),
    )
    signal.addEventListener('abort', left, { once: true })
    if (signal.aborted) left()
    try {
      const known = { notes: undefined, tierMiss: undefined, admittance: { verdict: 'allowed' as const } }
      const current = { ...call, id: mintId(), deadline, signal: cancel }
      const answered = await answer(current, { matched, choice: undefined }, known)
      // A stream may take longer, as long as it is not silent.
      late()
      await read(answered)
      return await this.#resultOf(answered, matched, keys)
    } catch (error) {
      return failed(error)
    } finally {
      signal.removeEventListener('abort', left)
      late()
    }
  }

  async #resultOf(
    { reply, outcome }: Answer,
    matched: Matched,
    keys: readonly Digest[],
  ): Promise<WarmResult> {
    const { kind, code } = verdictOf(matched.protocol, reply)
    if (kind === 'refused' || kind === 'other') return { outcome: 'refused', reason: code }
    if (kind !== 'ok') return { outcome: 'failed', reason: code, isPassing: kind === 'overloaded' }
    if (outcome.kind === 'hit') return { outcome: 'present' }
    const isStored = ('stored' in outcome && outcome.stored) || (await this.#areThere(keys))
    return { outcome: isStored ? 'stored' : 'unstored' }
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

function targetOf({ path, query }: WarmRequest): { path: string; query: string } | undefined {
  try {
    return path.startsWith('/') ? parseTarget(path + query) : undefined
  } catch {
    return undefined
  }
}

function areFields(headers: WarmRequest['headers']): boolean {
  return headers.every((text, i) => (i % 2 === 0 ? isFieldName(text) : isFieldValue(text)))
}

/** A generation is kept with its end. */
async function read({ reply }: Answer): Promise<void> {
  if (isWhole(reply.body)) return
  try {
    for await (const _ of reply.body) {
      // Nobody reads it.
    }
  } catch (error) {
    letGo(reply.body)
    throw error
  }
}

function failed(error: unknown): WarmResult {
  if (!(error instanceof GatewayError)) return { outcome: 'failed', reason: 'internal' }
  const { code, fault } = error
  if (fault.blame === 'caller' && code !== 'callerLeft') return { outcome: 'refused', reason: code }
  return { outcome: 'failed', reason: code, isPassing: fault.retry !== 'never' || code === 'deadline' }
}

/** The caller's limits are for its own calls; what it may have of a pool decides who has answered it. */
function unlimited(identity: Identity): Identity {
  const { policy } = identity
  return { ...identity, share: undefined, policy: policy && { name: policy.name, backends: policy.backends } }
}

/** Behind everybody. One object for each set of labels, by which a pool knows who waits. */
function shareWith(labels: Labels | undefined): TenantShare {
  const text = labels ? JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))) : ''
  const known = SHARES.get(text)
  if (known) return known
  const share = { tenant: ' warming', weight: 1, priority: PRIORITIES.length - 1, floor: 0, labels }
  SHARES.set(text, share)
  return share
}

/** As many as there are in the settings. */
const SHARES = new Map<string, TenantShare>()
