/** One model's deployment as a process knows it, and how the process agrees on its stamp with other gateways. */
import { type DeploymentState, type DeploymentToken, type Fact, parseFact, printFact } from './deployed.ts'
import type { FactStore } from './epochs.ts'
import { isLater, type Stamp } from './stamp.ts'

export interface Deployment extends DeploymentState {
  readonly pool: string
  readonly model: string
  readonly fact: string
  token: DeploymentToken
  stamp: Stamp
  /** The stamp is in the shared tier. */
  isShared: boolean
  /** The latest stamp that the gateways shared: no earlier one is adopted again. */
  floor: Stamp | undefined
  /** When the shared tier was last known to hold no later stamp than `floor`, by the clock's `now`. */
  floorAt: number
  /** The same of the floor before this one: by then, the present one had not been made. */
  unmadeAt: number
  /** The hash of the last evidence learnt here. */
  evidence: string | undefined
  /** A new deployment that the evidence does not show, and that other gateways have not been told of. */
  isUnannounced: boolean
  /** The evidence for which the stamp was made. */
  stampEvidence: string | undefined
  versions: readonly string[] | undefined
  isStated: boolean
  /** A backend has reported it, so the name is not a caller's invention. */
  isReported: boolean
  readonly bornAt: number
  /** Used again since it was last spared from eviction: most names that callers make up come once. */
  isUsed: boolean
  settling: Promise<boolean> | undefined
  loading: Promise<void> | undefined
  /** The tier was asked, and first evidence was waited for where that was necessary. */
  loaded: boolean
  /** Ends the wait for first evidence. */
  onEvidence: (() => void) | undefined
}

type Born = Pick<Deployment, 'pool' | 'model' | 'stamp' | 'bornAt'>

/** `isAlone`: there are no other gateways. */
export function newDeployment(born: Born, isAlone: boolean): Deployment {
  return {
    ...born,
    fact: `deploy:${born.pool}/${born.model}`,
    token: { value: born.stamp, shared: isAlone, writable: isAlone },
    isShared: isAlone,
    floor: undefined,
    floorAt: Number.NEGATIVE_INFINITY,
    unmadeAt: Number.NEGATIVE_INFINITY,
    evidence: undefined,
    isUnannounced: false,
    stampEvidence: undefined,
    versions: undefined,
    isStated: false,
    isReported: false,
    isUsed: false,
    settling: undefined,
    loading: undefined,
    loaded: isAlone,
    onEvidence: undefined,
  }
}

interface Agreement {
  now(): number
  /** `readAt`: when the tier was asked for it. */
  adopt(fact: Fact, readAt: number): void
  /** Makes a stamp that is later than this one, too. */
  restamp(than: Stamp): void
}

/**
 * Whether a deployment that a backend now reports may be older than what it reported last. Another gateway's stamp for the
 * same evidence is then of an earlier deployment of the same version, unless that stamp is known to have been made since;
 * clocks of two machines do not tell, so the order of what was read and heard here has to.
 */
export function mayPrecede(known: Deployment, evidence: string | undefined, otherwiseAt: number): boolean {
  const isAdopted = known.stampEvidence === evidence
  return otherwiseAt >= (isAdopted ? known.unmadeAt : known.floorAt)
}

/** Agrees on a stamp with the shared tier: adopts the tier's, or publishes ours. False: the tier cannot be asked. */
export async function agree(
  known: Deployment,
  shared: FactStore,
  { now, adopt, restamp }: Agreement,
): Promise<boolean> {
  for (;;) {
    const { stamp, evidence, floor } = known
    const isStale = () => known.stamp !== stamp || known.evidence !== evidence
    const readAt = now()
    const facts = await shared.facts([known.fact])
    if (!facts) return false
    if (isStale()) continue
    // Without evidence of our own, the fact of the other gateways holds.
    const theirs = (text: string | undefined) => {
      const fact = parseFact(text)
      const isFit = evidence === undefined || fact?.evidence === evidence
      return fact && isFit && !known.isUnannounced && isLater(fact.stamp, floor) ? fact : undefined
    }
    let fact = theirs(facts[0])
    if (!fact) {
      // Without evidence there is nothing to publish.
      const stands = evidence ?? (floor === undefined ? undefined : known.stampEvidence)
      if (stands === undefined) return true
      // Ours must be later, whatever the clocks say.
      const present = parseFact(facts[0])
      if (present && isLater(present.stamp, stamp)) {
        restamp(present.stamp)
        continue
      }
      const ours: Fact = { evidence: stands, stamp }
      const claimed = facts[0] === undefined ? await shared.claim(known.fact, printFact(ours)) : ''
      if (claimed === undefined) return false
      if (isStale()) continue
      fact = claimed === printFact(ours) ? ours : theirs(claimed)
      if (!fact) {
        if (!(await shared.publish(known.fact, printFact(ours)))) return false
        if (isStale()) continue
        fact = ours
      }
    }
    adopt(fact, readAt)
    return true
  }
}
