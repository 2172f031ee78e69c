/**
 * How gateways that have calls waiting for one pool divide its places: by the weights of the tenants that wait at each, in
 * weighted max-min fairness, so that who wants less than its part leaves the rest to the others.
 *
 * A part is seldom a whole number of places, so the places lie in a row, the gateways' parts one after the other, and the
 * borders move by one place in each period, as in systematic sampling. All gateways know the same demands and the same time, so
 * they agree on whose each place is, and at every moment all places are somebody's.
 */
import { PRIORITIES } from '../../../core/tenant-share.ts'

/** What a tenant wants of a pool at one gateway. */
export interface PlaceDemand {
  readonly gateway: string
  /** The tenant, by the same name at all gateways. */
  readonly tenant: string
  /** The index of its class. */
  readonly priority: number
  /** Above 0. */
  readonly weight: number
  /** The most places that it can use. */
  readonly most: number
  /** The rows that one place serves there in a unit of time; 0: not known. Weights are of rows, and places are divided. */
  readonly rate: number
}

/** The places of a gateway in the row. */
export interface PlaceRange {
  readonly from: number
  readonly until: number
}

/** Of what a class gets, the part that the classes after it have together while they wait. */
const LOWER_CLASSES = 0.01
/** Parts are of so many to a place: smaller differences are chance, and each move of a place costs time. */
const GRAIN = 8
/** In which a border moves by one place: each move leaves a place idle until the other gateway sees that it is free. */
const PERIOD_MS = 4_000

/** The parts of all gateways that want places, in the order of their names. `places`: of the pool. */
export function partsOf(demands: readonly PlaceDemand[], places: number): ReadonlyMap<string, PlaceRange> {
  const gateways = [...new Set(demands.map(({ gateway }) => gateway))].sort()
  const got = new Map(gateways.map((gateway) => [gateway, 0]))
  const wants = weighted(demands)
  let left = places
  for (let priority = 0; priority < PRIORITIES.length; priority++) {
    const isLast = !wants.some((want) => want.priority > priority)
    const capacity = isLast ? left : left * (1 - LOWER_CLASSES)
    left -= divide(
      wants.filter((want) => want.priority === priority),
      capacity,
      got,
    )
  }
  return layOut(got, places)
}

/** How many places a gateway may use at a time, in Unix milliseconds of a clock that all of them read. */
export function placesAt({ from, until }: PlaceRange, now: number): number {
  const moved = (now % PERIOD_MS) / PERIOD_MS
  return Math.ceil(until - moved) - Math.ceil(from - moved)
}

interface WeightedDemand extends PlaceDemand {
  /** Its weight in places. */
  readonly claim: number
}

/** A tenant that waits at several gateways has an equal part of its weight at each. */
function weighted(demands: readonly PlaceDemand[]): readonly WeightedDemand[] {
  const counts = new Map<string, number>()
  for (const { tenant } of demands) counts.set(tenant, (counts.get(tenant) ?? 0) + 1)
  const known = demands.map(({ rate }) => rate).filter((rate) => rate > 0)
  const usual = known.length === 0 ? 1 : known.reduce((sum, rate) => sum + rate, 0) / known.length
  return demands.map((demand) => ({
    ...demand,
    claim: demand.weight / (counts.get(demand.tenant) ?? 1) / (demand.rate || usual),
  }))
}

/** Gives the places to one class, and returns how many it has taken. */
function divide(wants: readonly WeightedDemand[], capacity: number, got: Map<string, number>): number {
  let left = capacity
  let claims = wants.reduce((sum, { claim }) => sum + claim, 0)
  // Who wants least for its weight comes first: what it leaves is there for those after it.
  for (const { gateway, claim, most } of wants.toSorted((a, b) => a.most / a.claim - b.most / b.claim)) {
    const part = Math.min(most, (left * claim) / claims)
    got.set(gateway, (got.get(gateway) ?? 0) + part)
    left -= part
    claims -= claim
  }
  return capacity - left
}

/** In whole grains, of which each gateway has one at least. What nobody wants is divided as the rest. */
function layOut(got: ReadonlyMap<string, number>, places: number): ReadonlyMap<string, PlaceRange> {
  const grains = Math.max(GRAIN * places, got.size)
  const sum = [...got.values()].reduce((all, part) => all + part, 0)
  const sizes = [...got].map(([gateway, part]) => [gateway, Math.max(1, (grains * part) / sum)] as const)
  const all = sizes.reduce((total, [, size]) => total + size, 0)
  const parts = new Map<string, PlaceRange>()
  let [end, border] = [0, 0]
  for (const [gateway, size] of sizes) {
    end += (size * grains) / all
    const rest = got.size - parts.size - 1
    const next = Math.min(Math.max(Math.round(end), border + 1), grains - rest)
    parts.set(gateway, { from: (border * places) / grains, until: (next * places) / grains })
    border = next
  }
  return parts
}
