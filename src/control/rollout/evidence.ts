/**
 * Evidence that one pool does worse than another, which may be looked at after every call and stopped at any time (a test
 * martingale; Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests", 2024). Its value starts at 1 and,
 * while the new pool is no worse than allowed, ever exceeds 1/α with a probability of at most α (Ville 1939), however long it is watched.
 *
 * The counts come in blocks, such as those of a second. For a block with `n` calls of the old pool and `m` of the new one, whose failures
 * have the probabilities p and p + margin, and for any guess (a, b) made before the block, the likelihood ratio of (a, b) to (o, o + margin)
 * has an expectation of at most 1, where o is the point of the boundary that is nearest to the guess: it is a product of n factors
 * of mean 1 + c and m of mean 1 + d, and nc + md = 0 is what makes o the nearest point. So rates may drift from block to block, and nothing
 * needs to be known of them.
 */

/** What two pools did in the same time: calls, and those of them that count against the pool. */
export interface Block {
  readonly oldCalls: number
  readonly oldBad: number
  readonly newCalls: number
  readonly newBad: number
}

/** Plain data, so that another gateway can go on with it. */
export interface PoolEvidence {
  /** Totals up to now. */
  readonly seen: Block
  /** Logarithms of the evidence since each start (the outer list), by alternative. */
  readonly logs: readonly (readonly number[])[]
}

export interface EvidenceOptions {
  /** By how much the new pool's rate may be above the old one's; as a share of calls. */
  readonly margin: number
  /** How many starts there may be: each has an equal part of the whole. */
  readonly starts: number
}

/** By how much more than allowed a bad pool may fail, as shares of calls: each is an alternative of its own. */
const EXCESSES = [0.01, 0.03, 0.06, 0.15, 0.4] as const

const NOTHING: Block = { oldCalls: 0, oldBad: 0, newCalls: 0, newBad: 0 }

export const NO_EVIDENCE: PoolEvidence = { seen: NOTHING, logs: [] }

/**
 * Begins to look anew, beside what goes on from before: what was good for long may still turn bad. Does nothing where there were
 * as many starts as planned.
 */
export function startAgain(evidence: PoolEvidence, { starts }: EvidenceOptions): PoolEvidence {
  if (evidence.logs.length >= starts) return evidence
  return { ...evidence, logs: [...evidence.logs, EXCESSES.map(() => 0)] }
}

/** Adds a block. Against the old pool itself: `addBlock`; against a rate that is given: `addCounts`. */
export function addBlock(evidence: PoolEvidence, block: Block, { margin }: EvidenceOptions): PoolEvidence {
  const { oldCalls, oldBad, newCalls, newBad } = block
  const seen = sum(evidence.seen, block)
  // One pool alone says nothing of the difference.
  if (oldCalls === 0 || newCalls === 0) return { ...evidence, seen }
  const before = evidence.seen
  const old = within((before.oldBad + 0.5) / (before.oldCalls + 50))
  const gains = EXCESSES.map((excess) => {
    const worse = within(old + margin + excess)
    const nearest = nearestAllowed({ old, worse }, block, margin)
    return (
      ratio(oldBad, oldCalls, old, nearest) + ratio(newBad, newCalls, worse, Math.min(1, nearest + margin))
    )
  })
  return { seen, logs: grown(evidence.logs, gains) }
}

/** The same against a rate that is allowed, such as that of differing answers. */
export function addCounts(
  evidence: PoolEvidence,
  { calls, bad }: { readonly calls: number; readonly bad: number },
  { margin }: EvidenceOptions,
): PoolEvidence {
  const seen = sum(evidence.seen, { ...NOTHING, newCalls: calls, newBad: bad })
  const allowed = within(margin)
  const gains = EXCESSES.map((excess) => ratio(bad, calls, within(allowed + excess), allowed))
  return { seen, logs: grown(evidence.logs, gains) }
}

/** The logarithm of the evidence. The starts that have not been used yet still count as 1. */
export function logEvidence({ logs }: PoolEvidence, { starts }: EvidenceOptions): number {
  const all = logs.flatMap((start) => start.map((log) => log - Math.log(EXCESSES.length)))
  const unused = Math.max(0, starts - logs.length)
  const terms = unused > 0 ? [...all, Math.log(unused)] : all
  const top = Math.max(...terms, -Infinity)
  if (top === -Infinity) return 0
  return top + Math.log(terms.reduce((total, term) => total + Math.exp(term - top), 0)) - Math.log(starts)
}

/**
 * The point (o, o + margin) that is nearest to a guess, by the information of so many calls: where the derivative of the divergence is 0.
 * Found by bisection, for the function rises between the two ends.
 */
function nearestAllowed(
  guess: { readonly old: number; readonly worse: number },
  { oldCalls, newCalls }: Block,
  margin: number,
): number {
  let low = guess.old
  let high = guess.worse - margin
  for (let i = 0; i < 40 && high - low > 1e-12; i++) {
    const at = (low + high) / 2
    const slope =
      (oldCalls * (at - guess.old)) / (at * (1 - at)) +
      (newCalls * (at + margin - guess.worse)) / ((at + margin) * (1 - at - margin))
    if (slope < 0) low = at
    else high = at
  }
  return (low + high) / 2
}

/** The log-likelihood ratio of two rates for so many of `calls`. */
function ratio(bad: number, calls: number, one: number, other: number): number {
  const good = calls - bad
  return (
    (bad > 0 ? bad * Math.log(one / other) : 0) + (good > 0 ? good * Math.log((1 - one) / (1 - other)) : 0)
  )
}

function grown(logs: PoolEvidence['logs'], gains: readonly number[]): PoolEvidence['logs'] {
  return logs.map((start) => start.map((log, i) => log + (gains[i] ?? 0)))
}

/** Neither 0 nor 1: a guess must not rule anything out. */
function within(rate: number): number {
  return Math.min(0.999, Math.max(1e-6, rate))
}

function sum(a: Block, b: Block): Block {
  return {
    oldCalls: a.oldCalls + b.oldCalls,
    oldBad: a.oldBad + b.oldBad,
    newCalls: a.newCalls + b.newCalls,
    newBad: a.newBad + b.newBad,
  }
}
