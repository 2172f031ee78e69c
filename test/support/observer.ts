/** An observer that hears everything and does nothing, for tests that listen to a part of it. */
import type { Observer } from '../../src/core/observer.ts'

export const silentObserver: Observer = {
  answered() {},
  attempted() {},
  failed() {},
  retried() {},
  fellBack() {},
  hedged() {},
  waited() {},
  tier() {},
  splitting() {},
  rows() {},
  generated() {},
  charged() {},
}
