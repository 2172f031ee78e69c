/**
 * The candidates: the backends of a view that may take a call for a model, computed once a view and not once a call. They
 * are the ready ones that are not ejected; when most are ejected, all ready ones; when none is ready, the next best.
 */
import type { Backend, BackendState } from '../../../core/backend.ts'
import type { Labels } from '../../../core/labels.ts'

export interface CandidateRules {
  /** The judgement of outlier detection. */
  readonly isRoutable: (slot: number) => boolean
  readonly isHalfOpen: (slot: number) => boolean
  /** The backend asked for no calls for a while (Retry-After). */
  readonly isPaused: (slot: number) => boolean
  /** Below this share of routable ready backends, ejection is ignored; in percent. */
  readonly panicPercent: number
  /** The zone whose backends are preferred; undefined: none. */
  readonly zone: string | undefined
}

export interface Candidates {
  /** Ascending. */
  readonly slots: Int32Array
  /** The same in all zones, for the case that `slots` are full. */
  readonly anywhere: Int32Array
  readonly halfOpen: Int32Array
  /** Most ready backends are ejected, so ejection is ignored. */
  readonly isPanic: boolean
}

/** The states that may be used when no backend is ready, best first. A draining backend is never used. */
const LAST_RESORTS: readonly BackendState[] = ['suspect', 'warming', 'unhealthy']

/** Whether the backend serves this model. One that names no models serves all; an offer without version covers all versions. */
export function offers(backend: Backend, model: string | undefined, version: string | undefined): boolean {
  if (model === undefined || backend.models.length === 0) return true
  return backend.models.some(
    (offer) =>
      offer.name === model &&
      (version === undefined || offer.version === undefined || offer.version === version),
  )
}

/** Whether it has all these labels. */
export function isLabelled(
  { labels = {} }: { readonly labels?: Labels | undefined },
  wanted: Labels | undefined,
): boolean {
  return wanted === undefined || Object.entries(wanted).every(([name, value]) => labels[name] === value)
}

export function candidatesOf(backends: readonly Backend[], rules: CandidateRules): Candidates {
  const ready = backends.filter((backend) => backend.state === 'ready')
  if (ready.length === 0) {
    const state = LAST_RESORTS.find((resort) => backends.some((backend) => backend.state === resort))
    const slots = slotsOf(backends.filter((backend) => backend.state === state))
    return { slots, anywhere: slots, halfOpen: new Int32Array(0), isPanic: false }
  }
  const closed = ready.filter(({ slot }) => rules.isRoutable(slot))
  const isPanic = closed.length * 100 < rules.panicPercent * ready.length
  const usable = unless(isPanic || closed.length === 0 ? ready : closed, rules)
  return {
    slots: slotsOf(inZone(usable, rules.zone)),
    anywhere: slotsOf(usable),
    halfOpen: slotsOf(ready.filter(({ slot }) => rules.isHalfOpen(slot))),
    isPanic,
  }
}

/** Leaves out the paused ones and those of weight 0, unless none would be left. */
function unless(usable: readonly Backend[], rules: CandidateRules): readonly Backend[] {
  const weighty = usable.filter((backend) => backend.weight > 0)
  const some = weighty.length > 0 ? weighty : usable
  const free = some.filter(({ slot }) => !rules.isPaused(slot))
  return free.length > 0 ? free : some
}

function inZone(usable: readonly Backend[], zone: string | undefined): readonly Backend[] {
  if (zone === undefined) return usable
  const local = usable.filter((backend) => backend.zone === zone)
  return local.length > 0 ? local : usable
}

function slotsOf(backends: readonly Backend[]): Int32Array {
  return Int32Array.from(backends, (backend) => backend.slot).sort()
}
