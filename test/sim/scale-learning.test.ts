// Replicas that do not say how many calls they bear: what finding out costs, beside a scaler that is told.
import { describe, expect, it } from 'vitest'
import { type Crowding } from '../../bench/sim/scale/crowd.ts'
import { compare, type ServiceKind, type Shape } from '../../bench/sim/scale/learning.ts'

const SEED = 1
/** Calls late for as long as it takes to see that replicas are full: no more is conceded, besides a tenth. */
const SEEING_S = 5

type Row = [number, ServiceKind, Crowding, Shape]
const ROWS: Row[] = [
  [1, 'fixed', 'queueing', 'step'],
  [1, 'exponential', 'queueing', 'ramp'],
  [1, 'bimodal', 'queueing', 'diurnal'],
  [1, 'fixed', 'sharing', 'flash crowd'],
  [2, 'fixed', 'queueing', 'steady'],
  [2, 'exponential', 'queueing', 'diurnal'],
  [2, 'bimodal', 'queueing', 'flash crowd'],
  [2, 'fixed', 'sharing', 'ramp'],
  [8, 'fixed', 'queueing', 'step'],
  [8, 'exponential', 'queueing', 'ramp'],
  [8, 'bimodal', 'queueing', 'flash crowd'],
  [8, 'fixed', 'sharing', 'diurnal'],
  [8, 'exponential', 'sharing', 'step'],
  [32, 'fixed', 'queueing', 'step'],
  [32, 'exponential', 'sharing', 'flash crowd'],
]

describe('replicas that declare nothing', { timeout: 180_000 }, () => {
  it.each(ROWS)(
    'of %i places, service %s, %s, under a load that is a %s',
    (places, service, crowding, shape) => {
      const { declared, told, learnt } = compare({ places, service, crowding, shape }, SEED)
      // Calls that crowd in the replicas are later than those that wait in the gateway, whatever the scaler knows.
      const [most, late] = (['most', 'violationSeconds'] as const).map((what) =>
        Math.max(declared[what], told[what]),
      ) as [number, number]
      expect(Math.abs(learnt.mean - declared.mean)).toBeLessThanOrEqual(1)
      expect(learnt.most).toBeLessThanOrEqual(Math.max(most + 1, 1.3 * most))
      expect(learnt.violationSeconds).toBeLessThanOrEqual(1.1 * late + SEEING_S)
      expect(learnt.worstReversals).toBeLessThanOrEqual(3)
      expect(learnt.last?.signals.slotsKnown).toBe(true)
    },
  )
})
