/** A change of where the calls of a route go, while they run: the weights of its split, or the pool that gets copies. */
import type { Settings } from '../config/schema.ts'
import { type MirrorChange, withMirror } from './route-mirrors.ts'
import { type WeightChange, withWeights } from './route-weights.ts'

export type TrafficChange = WeightChange | MirrorChange

/** The settings with the change. */
export function withChange(settings: Settings, change: TrafficChange): Settings {
  return 'weights' in change ? withWeights(settings, change) : withMirror(settings, change)
}
