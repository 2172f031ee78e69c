/**
 * What keys cover, as it is kept beside the answers in a file for the next process. Where there is a shared tier the facts are
 * there, and the next process asks it; a process without one has them from the file, or all its keys would be new.
 *
 * The stamp of a deployment is taken over only where the first evidence is that of the file: until the backends have spoken, and
 * wherever they say something else, the next process has a stamp of its own.
 */
import type { Stamp } from './stamp.ts'

export type KeptEpoch = readonly [name: string, value: Stamp]

export interface KeptDeployment {
  readonly pool: string
  readonly model: string
  readonly stamp: Stamp
  /** The hash of the evidence for which the stamp stands. */
  readonly evidence: string
}

type Named = Pick<KeptDeployment, 'pool' | 'model'>

/** The stamps of a process before this one, each to be taken once. */
export class KeptStamps {
  readonly #waiting: Map<string, KeptDeployment>

  constructor(kept: readonly KeptDeployment[]) {
    this.#waiting = new Map(kept.map((each) => [nameOf(each), each]))
  }

  /** The stamp, if it stands for this evidence. It is not given again: what comes later is another deployment. */
  take(of: Named, evidence?: string): Stamp | undefined {
    if (this.#waiting.size === 0) return undefined
    const name = nameOf(of)
    const kept = this.#waiting.get(name)
    this.#waiting.delete(name)
    return kept && kept.evidence === evidence ? kept.stamp : undefined
  }

  /** Those that nobody has taken: their models were not called, and no backend has reported them. */
  get waiting(): readonly KeptDeployment[] {
    return [...this.#waiting.values()]
  }
}

function nameOf({ pool, model }: Named): string {
  return `${pool}\n${model}`
}
