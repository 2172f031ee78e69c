/**
 * A decision of the scaler, with one sentence for people. Every emitter renders this object, so that the dashboard, the
 * webhook and the autoscaler agree.
 */

/** Why the number is what it is; a closed set, for dashboards and alerts. */
export type Reason =
  | 'steady'
  | 'load_rose'
  | 'backlog'
  | 'late_calls'
  | 'cache_lost'
  | 'cache_reserve'
  | 'rollout'
  | 'start_failed'
  | 'load_fell'
  | 'idle'
  | 'woken'
  | 'hold_recent_peak'
  | 'hold_new_load'
  | 'hold_return'
  | 'hold_flap_budget'
  | 'hold_starting'
  | 'hold_panic'
  | 'hold_cache'
  | 'hold_trial'
  | 'hold_ineffective'
  | 'hold_learning'
  | 'hold_no_data'
  | 'hold_stale'

/** Of a pool that is sized by tokens; a token is a piece of a stream. */
export interface TokenSignals {
  /** Tokens that the misses ask for a second. */
  readonly perSecond: number
  readonly perGeneration: number
  /** The p95 to the first token, without a wait. */
  readonly firstMs: number
  /** Between two tokens with all places of a replica taken. */
  readonly gapMs: number
  /** Tokens that a replica makes a second with all its places taken. */
  readonly replicaPerSecond: number
  /** What bounds the places of a replica. */
  readonly boundBy: 'itl' | 'memory' | 'declared'
}

export interface Signals {
  readonly missesPerSecond: number
  readonly callsPerSecond: number
  readonly hitRatio: number
  /** Calls at the backends and waiting, over time. */
  readonly concurrency: { readonly mean: number; readonly p95: number }
  /** Mean number of busy slots the misses need. */
  readonly erlangs: number
  readonly serviceMs?: { readonly mean: number; readonly p95: number }
  readonly slotsPerReplica: number
  /** False: no replica was overloaded yet, so `slotsPerReplica` is a lower bound. */
  readonly slotsKnown: boolean
  readonly slotsNeeded: number
  /** How many of these are for the backlog. */
  readonly drainSlots: number
  readonly queue: number
  readonly inflight: number
  /** Calls expected to be late with the replicas at hand, 0 to 1. */
  readonly expectedLate: number
  readonly observedP95Ms?: number
  readonly tokens?: TokenSignals
  readonly trim: number
  readonly dispersion: number
  readonly startMs: number
  /** How long a level is kept after it was last wanted. */
  readonly holdMs: number
  /** How often the load came back recently after it had gone, and after how long at most. */
  readonly returns: number
  readonly longestAbsenceMs: number
  readonly reversals: number
}

export interface Decision {
  readonly at: number
  /** How many replicas there should be, ready and starting together. An absolute number: repeating it is harmless. */
  readonly desired: number
  /** What was desired before. */
  readonly from: number
  readonly ready: number
  readonly starting: number
  readonly min: number
  readonly max: number
  readonly direction: 'up' | 'down' | 'stay'
  readonly mode: 'steady' | 'panic' | 'hold'
  readonly reason: Reason
  /** False: service alone takes longer than the SLO, and the pool is sized by utilisation. */
  readonly sloFeasible: boolean
  /** True: the last two moves up did not bring the p95 down; the bottleneck is elsewhere. */
  readonly scalingIneffective: boolean
  /** More is needed than `max` allows. */
  readonly isCapped: boolean
  readonly signals: Signals
  /** One sentence for people. */
  readonly sentence: string
}

const CAUSES: Record<Exclude<Reason, 'hold_return'>, string> = {
  steady: 'that is what there is',
  load_rose: 'the load rose',
  backlog: 'calls are piling up',
  late_calls: 'calls are later than the model expects',
  cache_lost: 'the cache is lost, and its hits come as misses',
  cache_reserve: 'a reserve for a lost cache is kept',
  rollout: 'a rollout is about to move calls here',
  start_failed: 'a replica did not start in time and is replaced',
  load_fell: 'the load fell and stayed low',
  idle: 'nobody called for a while',
  woken: 'the first call came',
  hold_recent_peak: 'more was needed a moment ago',
  hold_new_load: 'more was needed, and nobody knows yet whether that load comes back',
  hold_flap_budget: 'the pool has turned often enough for now',
  hold_starting: 'replicas are still starting or warming up',
  hold_panic: 'the pool is under pressure',
  hold_cache: 'the cache is still filling',
  hold_trial: 'more is needed by the model, but what the last replicas bring is not known yet',
  hold_ineffective: 'the last replicas did not help, the bottleneck is elsewhere',
  hold_learning: 'nobody knows yet how many calls a replica bears',
  hold_no_data: 'nothing has been measured yet',
  hold_stale: 'the measurements are too old to act on',
}

/** As in the options of the scaler. */
interface Promised {
  readonly sloMs?: number | undefined
  readonly itlMs?: number | undefined
}

/** "2 → 7 replicas: the load rose; 412 misses/s of 50 ms keep 20.6 slots busy and need 28, 4 a replica." */
export function sentence(decision: Omit<Decision, 'sentence'>, { sloMs, itlMs }: Promised): string {
  const { from, desired, signals } = decision
  const change = from === desired ? count(desired) : `${from} → ${count(desired)}`
  const parts = [`${change}: ${cause(decision.reason, signals)}`]
  if (signals.serviceMs && signals.missesPerSecond > 0)
    parts.push(signals.tokens ? needOfTokens(signals, signals.tokens) : need(signals))
  if (!decision.sloFeasible && signals.tokens) parts.push(tokensTooSlow(signals.tokens, { sloMs, itlMs }))
  else if (!decision.sloFeasible && sloMs !== undefined) {
    parts.push(
      `the p95 of ${sloMs} ms cannot be kept by any number of replicas, service alone takes ${round(signals.serviceMs?.p95 ?? 0)} ms`,
    )
  }
  if (decision.scalingIneffective) parts.push('more replicas did not make calls faster')
  if (decision.isCapped) parts.push(`more is needed than the maximum of ${decision.max}`)
  return `${parts.join('; ')}.`
}

function cause(reason: Reason, { returns, longestAbsenceMs, holdMs }: Signals): string {
  if (reason === 'hold_new_load') return `${CAUSES[reason]} (waited for ${span(holdMs)})`
  if (reason !== 'hold_return') return CAUSES[reason]
  const times = returns === 1 ? 'last time' : `last ${returns} times`
  return `the ${times} the load had gone, it came back within ${span(longestAbsenceMs)} (waited for ${span(holdMs)})`
}

function need(signals: Signals): string {
  const { missesPerSecond, serviceMs, erlangs, slotsNeeded, slotsPerReplica, slotsKnown, drainSlots } =
    signals
  const each = slotsKnown
    ? `${slotsPerReplica} a replica`
    : `at least ${slotsPerReplica} a replica: how many it bears is still being learnt`
  const drain = drainSlots > 0 ? `, ${round(drainSlots)} of them for the backlog` : ''
  return (
    `${round(missesPerSecond)} misses/s of ${round(serviceMs?.mean ?? 0)} ms keep ${round(erlangs)} slots busy ` +
    `and need ${Math.ceil(slotsNeeded)}${drain}, ${each}`
  )
}

const BOUNDS: Record<TokenSignals['boundBy'], string> = {
  itl: 'at',
  memory: 'for which its memory has room, at',
  declared: 'as declared, at',
}

/** "4 generations/s of 310 tokens keep 31 places busy and need 42; a replica has 16, at 24 ms a token: 660 tokens/s". */
function needOfTokens(signals: Signals, tokens: TokenSignals): string {
  const { missesPerSecond, erlangs, slotsNeeded, slotsPerReplica, slotsKnown, drainSlots } = signals
  const drain = drainSlots > 0 ? `, ${round(drainSlots)} of them for the backlog` : ''
  const least = slotsKnown ? '' : 'at least '
  return (
    `${round(missesPerSecond)} generations/s of ${round(tokens.perGeneration)} tokens keep ${round(erlangs)} places busy ` +
    `and need ${Math.ceil(slotsNeeded)}${drain}; a replica has ${least}${slotsPerReplica}, ${BOUNDS[tokens.boundBy]} ` +
    `${round(tokens.gapMs)} ms a token: ${round(tokens.replicaPerSecond)} tokens/s`
  )
}

function tokensTooSlow({ firstMs, gapMs }: TokenSignals, { sloMs = 0, itlMs = 0 }: Promised): string {
  if (firstMs > sloMs)
    return `${sloMs} ms to the first token cannot be kept by any number of replicas, it takes ${round(firstMs)} ms without a wait`
  return `${itlMs} ms between tokens cannot be kept by any number of replicas, a replica with one call takes ${round(gapMs)} ms`
}

function count(replicas: number): string {
  return replicas === 1 ? '1 replica' : `${replicas} replicas`
}

function span(ms: number): string {
  return ms < 120_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} minutes`
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(2)))
}
